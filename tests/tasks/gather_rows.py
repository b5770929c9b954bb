"""Rows of a float32 table picked by an int64 index."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 10, "cols": 32, "picks": 6}, "distribution": "normal", "hidden": False},
    {"name": "many", "args": {"rows": 5, "cols": 20, "picks": 17}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 33, "cols": 7, "picks": 9}, "distribution": "large", "hidden": True},
    {
        "name": "even",
        "args": {"rows": 4096, "cols": 256, "picks": 1024},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "second",
        "args": {"rows": 1000, "cols": 100, "picks": 5000},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 16384, "cols": 256, "picks": 16384},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {
        "name": "ragged",
        "args": {"rows": 997, "cols": 77, "picks": 1777},
        "distribution": "large",
        "hidden": True,
        "tier": "gpu",
    },
    {
        "name": "last",
        "args": {"rows": 50000, "cols": 250, "picks": 333},
        "distribution": "structured",
        "hidden": True,
        "tier": "gpu",
    },
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), draw.integers(case["picks"], low=0, high=case["rows"])


def gather_rows(table, index):
    return table[index]
