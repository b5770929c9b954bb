"""alpha * x + y over vectors, in float32; alpha is a Python float."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"n": 256, "alpha": 2.0}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"n": 1001, "alpha": -0.75}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "tiny", "args": {"n": 3, "alpha": 3.5}, "distribution": "normal", "hidden": True},
    {"name": "prime", "args": {"n": 769, "alpha": 1.0}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"n": 1048576, "alpha": 2.0}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"n": 1000001, "alpha": -0.75},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"n": 4194304, "alpha": 1.5},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"n": 777777, "alpha": 3.5}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {
        "name": "last",
        "args": {"n": 1299709, "alpha": -1.25},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return case["alpha"], draw.normal(case["n"]), draw.normal(case["n"])


def axpy(alpha, x, y):
    return alpha * x + y
