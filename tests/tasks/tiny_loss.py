"""Mean of squared weights times 1e-6, a regulariser: small numbers that an absolute tolerance would swallow."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 3, "cols": 99}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "odd", "args": {"rows": 6, "cols": 27}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"rows": 256, "cols": 512}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"rows": 500, "cols": 400},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 512, "cols": 512},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 331, "cols": 377}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 128, "cols": 640}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def tiny_loss(weights):
    return weights.square().mean() * 1e-6
