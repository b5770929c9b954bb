"""Sum of int32 values over the last dimension, as int64: the sums do not fit 32 bits."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "wide", "args": {"rows": 2, "cols": 300}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 7, "cols": 33}, "distribution": "normal", "hidden": True},
    {"name": "square", "args": {"rows": 2048, "cols": 2048}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "wide", "args": {"rows": 16, "cols": 262144}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 2048},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 1021, "cols": 3001}, "distribution": "normal", "hidden": True, "tier": "gpu"},
    {"name": "one", "args": {"rows": 1, "cols": 1000003}, "distribution": "normal", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.integers(case["rows"], case["cols"], low=2**30, high=2**31 - 1, dtype="int32"),)


def int_row_sum(x):
    return x.sum(dim=-1, dtype=torch.int64)
