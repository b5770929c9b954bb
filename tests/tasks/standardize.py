"""Standardised rows and their statistics, as a dict of a matrix and a tuple that holds a dict."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 3, "cols": 77}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 7, "cols": 33}, "distribution": "normal", "hidden": True},
    {"name": "alike", "args": {"rows": 6, "cols": 40}, "distribution": "structured", "hidden": True},
    {"name": "square", "args": {"rows": 1024, "cols": 1024}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "wide",
        "args": {"rows": 256, "cols": 4096},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 4096, "cols": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 999, "cols": 777}, "distribution": "structured", "hidden": True, "tier": "gpu"},
    {"name": "few", "args": {"rows": 3, "cols": 8001}, "distribution": "heavy_tailed", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def standardize(x):
    mean = x.mean(dim=-1)
    rstd = torch.rsqrt(x.var(dim=-1, correction=0) + 1e-5)
    return {"y": (x - mean[:, None]) * rstd[:, None], "statistics": (mean, {"rstd": rstd})}
