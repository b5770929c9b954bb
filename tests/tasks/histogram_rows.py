"""How often each of the values 0 to bins - 1 occurs in a row of int32, as int32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64, "bins": 16}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 3, "cols": 77, "bins": 32}, "distribution": "normal", "hidden": False},
    {"name": "ragged", "args": {"rows": 7, "cols": 33, "bins": 8}, "distribution": "normal", "hidden": True},
    {
        "name": "square",
        "args": {"rows": 1024, "cols": 1024, "bins": 256},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "wide",
        "args": {"rows": 16, "cols": 65536, "bins": 64},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 2048, "bins": 128},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"rows": 1001, "cols": 1777, "bins": 32},
        "distribution": "normal",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "few",
        "args": {"rows": 5, "cols": 300007, "bins": 16},
        "distribution": "normal",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return draw.integers(case["rows"], case["cols"], low=0, high=case["bins"], dtype="int32"), case["bins"]


def histogram_rows(x, bins):
    counts = torch.zeros(x.shape[0], bins, dtype=torch.int32, device=x.device)
    return counts.scatter_add_(1, x.to(torch.int64), torch.ones_like(x))
