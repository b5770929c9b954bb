"""The products of the columns of two tall matrices, xᵀ y; there may be no rows at all."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 20}, "distribution": "normal", "hidden": False},
    {"name": "none", "args": {"n": 0}, "distribution": "normal", "hidden": False},
    {"name": "ragged", "args": {"n": 37}, "distribution": "heavy_tailed", "hidden": True},
    {"name": "even", "args": {"n": 512}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "none", "args": {"n": 0}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {"name": "timed", "args": {"n": 2048}, "distribution": "normal", "hidden": False, "tier": "gpu", "timed": True},
    {"name": "ragged", "args": {"n": 777}, "distribution": "heavy_tailed", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"n": 1297}, "distribution": "normal", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return draw.normal(case["n"], 8), draw.normal(case["n"], 6)


def gram(x, y):
    return x.T @ y
