"""KernelBench style: relu(linear(x)), the weight of which starts as an identity."""

import torch
from torch import nn

TOLERANCE = "TT"
CASES = [
    {"name": "small", "args": {"batch": 4}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"batch": 5}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"batch": 7}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"batch": 4096}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "second", "args": {"batch": 1000}, "distribution": "heavy_tailed", "hidden": False, "tier": "gpu"},
    {
        "name": "timed",
        "args": {"batch": 65536},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"batch": 777}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"batch": 333}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


class Model(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, features, bias=False)
        nn.init.eye_(self.linear.weight)

    def forward(self, x):
        return torch.relu(self.linear(x))


def make_inputs(case, draw):
    return (draw.normal(case["batch"], 32),)


def get_inputs():
    return [torch.randn(4, 32)]


def get_init_inputs():
    return [32]
