"""Scores (rows, rows) with minus infinity above the diagonal, in float32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 16}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 33}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 45}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"rows": 1024}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "second", "args": {"rows": 1500}, "distribution": "heavy_tailed", "hidden": False, "tier": "gpu"},
    {"name": "timed", "args": {"rows": 4096}, "distribution": "normal", "hidden": False, "tier": "gpu", "timed": True},
    {"name": "ragged", "args": {"rows": 777}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 1023}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["rows"]),)


def causal_mask(scores):
    later = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -float("inf"))
