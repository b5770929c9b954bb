"""KernelBench style without parameters: relu(x) * scale."""

import torch
from torch import nn

TOLERANCE = "T32"
CASES = [
    {"name": "default", "args": {"rows": 6, "cols": 40}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 6, "cols": 40}, "distribution": "heavy_tailed", "hidden": True},
    {"name": "even", "args": {"rows": 1024, "cols": 512}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"rows": 2000, "cols": 1000},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 997, "cols": 777}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 513, "cols": 63}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


class Model(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return torch.relu(x) * self.scale


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def get_inputs():
    return [torch.randn(6, 40)]


def get_init_inputs():
    return [1.5]
