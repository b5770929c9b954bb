"""KernelBench style with parameters: relu(linear(x))."""

import torch
from torch import nn

TOLERANCE = "T32"
CASES = [
    {"name": "default", "args": {"rows": 5}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 5}, "distribution": "heavy_tailed", "hidden": True},
    {"name": "even", "args": {"rows": 1024}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "second", "args": {"rows": 2000}, "distribution": "heavy_tailed", "hidden": False, "tier": "gpu"},
    {"name": "timed", "args": {"rows": 65536}, "distribution": "normal", "hidden": False, "tier": "gpu", "timed": True},
    {"name": "ragged", "args": {"rows": 997}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 513}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


class Model(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return torch.relu(self.linear(x))


def make_inputs(case, draw):
    return (draw.normal(case["rows"], 24),)


def get_inputs():
    return [torch.randn(5, 24)]


def get_init_inputs():
    return [24, 20]
