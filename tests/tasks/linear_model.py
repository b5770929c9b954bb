"""KernelBench style with parameters: relu(linear(x))."""

import torch
from torch import nn

TOLERANCE = "T32"


class Model(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return torch.relu(self.linear(x))


def get_inputs():
    return [torch.randn(5, 24)]


def get_init_inputs():
    return [24, 20]
