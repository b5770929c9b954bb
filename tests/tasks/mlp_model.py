"""KernelBench style with nested layers and a buffer: two Linear layers, the second's input shifted by a buffer."""

import torch
from torch import nn

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 5}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 9}, "distribution": "large", "hidden": False},
    {"name": "tails", "args": {"rows": 7}, "distribution": "heavy_tailed", "hidden": True},
    {"name": "even", "args": {"rows": 4096}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "odd", "args": {"rows": 10007}, "distribution": "large", "hidden": False, "tier": "gpu"},
    {
        "name": "timed",
        "args": {"rows": 262144},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 33333}, "distribution": "heavy_tailed", "hidden": True, "tier": "gpu"},
    {"name": "few", "args": {"rows": 3}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


class Block(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.linear = nn.Linear(width, out)
        self.register_buffer("shift", torch.linspace(-1.0, 1.0, out))

    def forward(self, x):
        return torch.relu(self.linear(x)) + self.shift


class Model(nn.Module):
    def __init__(self, width, hidden, out):
        super().__init__()
        self.first = Block(width, hidden)
        self.layers = nn.ModuleList([Block(hidden, out)])

    def forward(self, x):
        return self.layers[0](self.first(x))


def make_inputs(case, draw):
    return (draw.normal(case["rows"], 24),)


def get_inputs():
    return [torch.randn(5, 24)]


def get_init_inputs():
    return [24, 20, 12]
