"""x * scale, clamped to what fits and rounded to float8_e4m3fn; the scale is a power of two."""

import torch

TOLERANCE = "TB"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64, "scale": 0.5}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 3, "cols": 77, "scale": 2.0}, "distribution": "large", "hidden": False},
    {"name": "hot", "args": {"rows": 6, "cols": 33, "scale": 16.0}, "distribution": "structured", "hidden": True},
    {"name": "tails", "args": {"rows": 5, "cols": 19, "scale": 64.0}, "distribution": "heavy_tailed", "hidden": True},
    {
        "name": "square",
        "args": {"rows": 1024, "cols": 1024, "scale": 0.5},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "wide",
        "args": {"rows": 256, "cols": 8192, "scale": 2.0},
        "distribution": "large",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 2048, "cols": 4096, "scale": 1.0},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"rows": 1023, "cols": 1537, "scale": 64.0},
        "distribution": "heavy_tailed",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "hot",
        "args": {"rows": 513, "cols": 4001, "scale": 16.0},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), case["scale"]


def quantize_e4m3(x, scale):
    return (x * scale).clamp(-448.0, 448.0).to(torch.float8_e4m3fn)
