"""y becomes alpha * x + y, in place, and is returned."""

TOLERANCE = "T32"
MUTATES = (1,)
CASES = [
    {"name": "small", "args": {"rows": 4, "cols": 64}, "distribution": "normal", "hidden": False},
    {"name": "tails", "args": {"rows": 3, "cols": 100}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"rows": 7, "cols": 33}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"rows": 1024, "cols": 512}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"rows": 2000, "cols": 1000},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 8192, "cols": 2048},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 997, "cols": 777}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 513, "cols": 640}, "distribution": "structured", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    shape = (case["rows"], case["cols"])
    return (draw.normal(*shape), draw.normal(*shape), 0.75)


def axpy_in_place(x, y, alpha):
    return y.add_(x, alpha=alpha)
