"""Rows of a float32 table picked by an int64 index."""

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 10, "cols": 32, "picks": 6}, "distribution": "normal", "hidden": False},
    {"name": "many", "args": {"rows": 5, "cols": 20, "picks": 17}, "distribution": "normal", "hidden": False},
    {"name": "odd", "args": {"rows": 33, "cols": 7, "picks": 9}, "distribution": "large", "hidden": True},
]


def make_inputs(case, draw):
    return draw.normal(case["rows"], case["cols"]), draw.integers(case["picks"], low=0, high=case["rows"])


def gather_rows(table, index):
    return table[index]
