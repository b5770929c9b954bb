"""KernelBench style: relu(batch_norm(x)) with running statistics, as in evaluation."""

import torch
from torch import nn

TOLERANCE = "TS"
CASES = [
    {"name": "small", "args": {"batch": 2}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"batch": 3}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"batch": 1}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"batch": 16}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"batch": 10},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"batch": 64},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"batch": 7}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"batch": 5}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


class Model(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.eval()

    def forward(self, x):
        return torch.relu(self.norm(x))


def make_inputs(case, draw):
    return (draw.normal(case["batch"], 64),)


def get_inputs():
    return [torch.randn(4, 64)]


def get_init_inputs():
    return [64]
