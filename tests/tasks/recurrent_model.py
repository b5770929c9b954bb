"""KernelBench style: gelu of what two layers of an LSTM and one of a GRU make of a sequence."""

import torch
import torch.nn.functional as F
from torch import nn

TOLERANCE = "TT"
CASES = [
    {"name": "small", "args": {"batch": 2, "length": 8}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"batch": 3, "length": 5}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"batch": 1, "length": 7}, "distribution": "normal", "hidden": True},
    {"name": "even", "args": {"batch": 16, "length": 64}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "odd", "args": {"batch": 9, "length": 33}, "distribution": "heavy_tailed", "hidden": False, "tier": "gpu"},
    {
        "name": "timed",
        "args": {"batch": 32, "length": 128},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"batch": 7, "length": 31}, "distribution": "normal", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"batch": 5, "length": 40}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


class Model(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)

    def forward(self, x):
        return F.gelu(self.gru(self.lstm(x)[0])[0])


def make_inputs(case, draw):
    return (draw.normal(case["batch"], case["length"], 12),)


def get_inputs():
    return [torch.randn(2, 8, 12)]


def get_init_inputs():
    return [12, 16]
