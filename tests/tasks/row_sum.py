"""Sum over the last dimension, in float32."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 8, "cols": 64}, "distribution": "large", "hidden": False},
    {"name": "wide", "args": {"rows": 2, "cols": 300}, "distribution": "large", "hidden": False},
    {"name": "mixed", "args": {"rows": 5, "cols": 17}, "distribution": "heavy_tailed", "hidden": True},
    {"name": "hot", "args": {"rows": 9, "cols": 31}, "distribution": "structured", "hidden": True},
    {"name": "even", "args": {"rows": 1024, "cols": 512}, "distribution": "large", "hidden": False, "tier": "gpu"},
    {"name": "second", "args": {"rows": 2000, "cols": 1000}, "distribution": "large", "hidden": False, "tier": "gpu"},
    {
        "name": "timed",
        "args": {"rows": 8192, "cols": 1024},
        "distribution": "large",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"rows": 997, "cols": 777},
        "distribution": "heavy_tailed",
        "hidden": True,
        "tier": "gpu",
    },
    {"name": "last", "args": {"rows": 513, "cols": 640}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    return (draw.normal(case["rows"], case["cols"]),)


def row_sum(x):
    return x.sum(dim=-1)
