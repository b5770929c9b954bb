"""Scaled dot-product attention of one head in float32, causal on request."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "full", "args": {"length": 32, "width": 16, "causal": False}, "distribution": "normal", "hidden": False},
    {"name": "causal", "args": {"length": 48, "width": 32, "causal": True}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"length": 37, "width": 16, "causal": True}, "distribution": "normal", "hidden": True},
    {
        "name": "even",
        "args": {"length": 512, "width": 64, "causal": False},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "second",
        "args": {"length": 1024, "width": 32, "causal": True},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"length": 2048, "width": 64, "causal": True},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"length": 777, "width": 64, "causal": True},
        "distribution": "normal",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "last",
        "args": {"length": 1001, "width": 16, "causal": False},
        "distribution": "heavy_tailed",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    shape = (case["length"], case["width"])
    return draw.normal(*shape), draw.normal(*shape), draw.normal(*shape), case["causal"]


def attention(q, k, v, causal):
    scores = q @ k.t() / q.shape[-1] ** 0.5
    if causal:
        later = torch.ones(scores.shape, dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    return torch.softmax(scores, dim=-1) @ v
