"""A 3-D convolution: 16 channels in, 24 out, a cube of 3, no padding."""

from __future__ import annotations

import torch
from torch import nn

CHANNELS_IN, CHANNELS_OUT, EDGE = 16, 24, 26


class Model(nn.Module):  # type: ignore[misc]
    """y[o] = b[o] + the sum over channels and the cube of w[o] · x."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [batch, channels, depth, height, width]."""
        return self.conv(x)


def get_inputs() -> list[torch.Tensor]:
    """A batch of one."""
    return [torch.randn(1, CHANNELS_IN, EDGE, EDGE, EDGE)]


def get_init_inputs() -> list[int]:
    """The arguments of Model."""
    return [CHANNELS_IN, CHANNELS_OUT]
