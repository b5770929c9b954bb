"""out[r, c] = x[r, index[r, c]] with int32 indices into the same row, in float32."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64, "picks": 64}, "distribution": "normal", "hidden": False},
    {"name": "few", "args": {"rows": 3, "cols": 77, "picks": 20}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "more", "args": {"rows": 5, "cols": 17, "picks": 90}, "distribution": "large", "hidden": True},
    {
        "name": "square",
        "args": {"rows": 4096, "cols": 256, "picks": 256},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "few",
        "args": {"rows": 8192, "cols": 500, "picks": 64},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 16384, "cols": 256, "picks": 256},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"rows": 3001, "cols": 333, "picks": 101},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "more",
        "args": {"rows": 1777, "cols": 100, "picks": 900},
        "distribution": "large",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    index = draw.integers(case["rows"], case["picks"], low=0, high=case["cols"], dtype="int32")
    return draw.normal(case["rows"], case["cols"]), index


def pick_lanes(x, index):
    return torch.gather(x, 1, index.to(torch.int64))
