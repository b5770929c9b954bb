"""Product of two float32 matrices."""

import torch
from torch import nn

ROWS = 1024
INNER = 4096
COLS = 1024


class Model(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)


def get_inputs():
    return [torch.rand(ROWS, INNER), torch.rand(INNER, COLS)]


def get_init_inputs():
    return []
