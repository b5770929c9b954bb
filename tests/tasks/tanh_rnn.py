"""Elman recurrence over the steps of a sequence: h[t] = tanh(x[t] + h[t-1] @ wᵀ), in float32; all h are returned."""

import torch

TOLERANCE = "TS"
CASES = [
    {"name": "small", "args": {"steps": 5, "batch": 2, "width": 32}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"steps": 4, "batch": 1, "width": 64}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "odd", "args": {"steps": 7, "batch": 1, "width": 32}, "distribution": "normal", "hidden": True},
    {
        "name": "even",
        "args": {"steps": 64, "batch": 4, "width": 128},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "second",
        "args": {"steps": 33, "batch": 2, "width": 64},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"steps": 128, "batch": 4, "width": 256},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"steps": 45, "batch": 3, "width": 128},
        "distribution": "normal",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "last",
        "args": {"steps": 21, "batch": 1, "width": 256},
        "distribution": "heavy_tailed",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    width = case["width"]
    return draw.normal(case["steps"], case["batch"], width, scale=0.5), draw.weight(width, width)


def tanh_rnn(x, w):
    h = torch.zeros_like(x[0])
    states = []
    for step in range(x.shape[0]):
        h = torch.tanh(x[step] + h @ w.t())
        states.append(h)
    return torch.stack(states)
