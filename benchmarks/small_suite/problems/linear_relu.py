"""A linear layer and a rectifier."""

import torch
from torch import nn

rows = 64
features = 128
width = 64


class Model(nn.Module):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        return torch.relu(self.linear(x))


def get_inputs():
    return [torch.randn(rows, features)]


def get_init_inputs():
    return [features, width]
