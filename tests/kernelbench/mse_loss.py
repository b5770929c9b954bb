"""Mean squared error of two matrices, a scalar."""

import torch
from torch import nn

ROWS = 4096
COLS = 2048


class Model(nn.Module):
    def forward(self, x, y):
        return torch.mean((x - y) ** 2)


def get_inputs():
    return [torch.randn(ROWS, COLS), torch.randn(ROWS, COLS)]


def get_init_inputs():
    return []
