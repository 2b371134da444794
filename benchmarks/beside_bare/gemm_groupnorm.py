import torch
import torch.nn as nn


class Model(nn.Module):
    """A linear layer, group normalisation, leaky ReLU, and the sum of the result with itself."""

    def __init__(self, in_features, out_features, groups, slope):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.norm = nn.GroupNorm(groups, out_features)
        self.activation = nn.LeakyReLU(slope)

    def forward(self, x):
        x = self.activation(self.norm(self.linear(x)))
        return x + x


def get_inputs():
    return [torch.rand(128, 1024)]


def get_init_inputs():
    return [1024, 512, 16, 0.01]
