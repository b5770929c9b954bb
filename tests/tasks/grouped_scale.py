"""Each vector of a list of different lengths, times a factor that grows with its place; a list again."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"longest": 64, "count": 3}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"longest": 77, "count": 4}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "ragged", "args": {"longest": 33, "count": 5}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"longest": 262144, "count": 4}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "many",
        "args": {"longest": 50000, "count": 16},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"longest": 2097152, "count": 4},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"longest": 300007, "count": 5}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {
        "name": "pair",
        "args": {"longest": 99991, "count": 2},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return ([draw.normal(case["longest"] // (number + 1)) for number in range(case["count"])],)


def grouped_scale(xs):
    return [x * (number + 1.5) for number, x in enumerate(xs)]
