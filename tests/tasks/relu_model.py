"""KernelBench style without parameters: relu(x) * scale."""

import torch
from torch import nn

TOLERANCE = "T32"


class Model(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return torch.relu(x) * self.scale


def get_inputs():
    return [torch.randn(6, 40)]


def get_init_inputs():
    return [1.5]
