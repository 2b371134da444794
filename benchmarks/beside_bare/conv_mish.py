import torch
import torch.nn as nn


class Model(nn.Module):
    """A convolution, two constants subtracted, then Mish."""

    def __init__(self, in_channels, out_channels, kernel_size, first, second):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size)
        self.first = first
        self.second = second

    def forward(self, x):
        x = self.conv(x)
        x = x - self.first
        x = x - self.second
        return torch.nn.functional.mish(x)


def get_inputs():
    return [torch.rand(4, 8, 64, 64)]


def get_init_inputs():
    return [8, 32, 3, 0.5, 0.2]
