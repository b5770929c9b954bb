"""KernelBench style: rotary position embedding of (rows, positions, features), pairs from the two halves."""

import torch
from torch import nn

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 2, "positions": 8}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 3, "positions": 5}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 1, "positions": 13}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"rows": 32, "positions": 256}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"rows": 20, "positions": 500},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 512, "positions": 512},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 9, "positions": 333}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {
        "name": "last",
        "args": {"rows": 33, "positions": 129},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


class Model(nn.Module):
    def __init__(self, features):
        super().__init__()
        frequency = 1.0 / (10000 ** (torch.arange(0, features, 2).float() / features))
        self.register_buffer("frequency", frequency, persistent=False)

    def forward(self, x):
        angle = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)[:, None] * self.frequency
        cos, sin = angle.cos(), angle.sin()
        left, right = x.chunk(2, dim=-1)
        return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["positions"], 32),)


def get_inputs():
    return [torch.randn(2, 8, 32)]


def get_init_inputs():
    return [32]
