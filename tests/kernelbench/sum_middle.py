"""Sum over the middle one of three dimensions, which stays with length 1."""

import torch
from torch import nn

BATCH = 16
ROWS = 512
COLS = 1024


class Model(nn.Module):
    def forward(self, x):
        return torch.sum(x, dim=1, keepdim=True)


def get_inputs():
    return [torch.randn(BATCH, ROWS, COLS) + 1.0]


def get_init_inputs():
    return []
