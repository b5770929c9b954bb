"""Largest value and sum of squares of each row, in float32, as a dict."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "wide", "args": {"rows": 2, "cols": 150}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "odd", "args": {"rows": 5, "cols": 13}, "distribution": "structured", "hidden": True},
    {"name": "even", "args": {"rows": 1024, "cols": 128}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"rows": 2000, "cols": 200},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 16384, "cols": 256},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 997, "cols": 77}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 513, "cols": 250}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def row_stats(x):
    return {"peak": x.amax(dim=-1), "energy": x.square().sum(dim=-1)}
