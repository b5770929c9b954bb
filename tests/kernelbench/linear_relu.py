"""Linear layer with bias, then ReLU."""

import torch
from torch import nn

ROWS = 4096
INNER = 1024
COLS = 512


class Model(nn.Module):
    def __init__(self, inner, width):
        super().__init__()
        self.linear = nn.Linear(inner, width)

    def forward(self, x):
        return torch.relu(self.linear(x))


def get_inputs():
    return [torch.randn(ROWS, INNER)]


def get_init_inputs():
    return [INNER, COLS]
