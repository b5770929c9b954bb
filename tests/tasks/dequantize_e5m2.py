"""float8_e5m2 codes times one float32 scale a row, in float16."""

import torch

TOLERANCE = "T16"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 5, "cols": 91}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 7, "cols": 33}, "distribution": "large", "hidden": True},
    {"name": "square", "args": {"rows": 1024, "cols": 1024}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "wide",
        "args": {"rows": 64, "cols": 16384},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 4096},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 1001, "cols": 1283}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "flat", "args": {"rows": 3, "cols": 500001}, "distribution": "normal", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    codes = draw.normal(case["rows"], case["cols"], dtype="float8_e5m2")
    return codes, draw.uniform(case["rows"], low=0.5, high=2.0)


def dequantize_e5m2(codes, scale):
    return (codes.to(torch.float32) * scale[:, None]).to(torch.float16)
