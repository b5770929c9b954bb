"""KernelBench style: relu(batch_norm(conv2d(x))), with the statistics of the batch."""

import torch
from torch import nn

TOLERANCE = "TS"
CASES = [
    {"name": "small", "args": {"batch": 2, "side": 8}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"batch": 3, "side": 9}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"batch": 1, "side": 7}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"batch": 16, "side": 32}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"batch": 10, "side": 50},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"batch": 64, "side": 64},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"batch": 7, "side": 31}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"batch": 5, "side": 40}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


class Model(nn.Module):
    def __init__(self, channels, features):
        super().__init__()
        self.conv = nn.Conv2d(channels, features, kernel_size=3)
        self.norm = nn.BatchNorm2d(features)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


def make_inputs(case, draw):
    return (draw.normal(case["batch"], 3, case["side"], case["side"]),)


def get_inputs():
    return [torch.randn(2, 3, 8, 8)]


def get_init_inputs():
    return [3, 6]
