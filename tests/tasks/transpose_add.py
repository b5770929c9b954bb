"""x + y of the same shape where x arrives as a transposed (strided) view, in float32."""

TOLERANCE = "T32"
CASES = [
    {"name": "square", "args": {"rows": 16, "cols": 16}, "distribution": "normal", "hidden": False},
    {"name": "flat", "args": {"rows": 5, "cols": 40}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "odd", "args": {"rows": 19, "cols": 3}, "distribution": "normal", "hidden": True},
    {"name": "even", "args": {"rows": 1024, "cols": 1024}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"rows": 2000, "cols": 500},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 2048, "cols": 2048},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 997, "cols": 777}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 513, "cols": 64}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return draw.normal(case["cols"], case["rows"]).t(), draw.normal(case["rows"], case["cols"])


def transpose_add(x, y):
    return x + y
