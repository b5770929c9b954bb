"""Root-mean-square normalisation without weights."""

import torch
from torch import nn

ROWS = 4096
COLS = 2048


class Model(nn.Module):
    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6)


def get_inputs():
    return [torch.randn(ROWS, COLS)]


def get_init_inputs():
    return []
