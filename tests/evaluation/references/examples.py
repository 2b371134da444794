"""References that several tests make tasks of."""

LINEAR = """\
import torch
from torch import nn

batch = 16
features = 32
hidden = width = 8


class Model(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)
        self.unused = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x, scale):
        return torch.relu(self.norm(self.linear(x))) * scale


def get_inputs():
    return [torch.rand(batch, features), 0.5]


def get_init_inputs():
    return [features, width]
"""
PAIR = """\
import torch


def generate_input(rows: int, columns: int = 48, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=generator) if torch.empty(0).device.type == "cpu" \\
        else torch.randn(rows, columns)
    return x, torch.zeros(rows, dtype=torch.int64)


def ref_kernel(data):
    x, index = data
    return x.gather(1, index[:, None])[:, 0] + x.sum(-1)
"""
