"""Running sums, running extrema and decayed recurrences, along rows and down columns."""

import random

from data_pipeline.synthetic.families.draw import around, matrix, names
from data_pipeline.synthetic.ops import SCAN
from data_pipeline.synthetic.program import Chain, Dtype, Layout, Program

DECAYS = ("0.5", "0.25", "0.75")


def scan(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    count = rng.choice((1, 1, 2))
    called = names(rng, count)
    op = rng.choice(list(SCAN))
    chain = Chain(rng, called[0])
    before, after = around(rng, ops)
    chain.run(before, called[1:])
    chain.must(op, *([rng.choice(DECAYS)] if op == "decay" else []))
    chain.run(after)
    layout: Layout = rng.choice(("scan_row", "scan_loop"))
    if op.startswith("column") or op == "decay":
        layout = "scan_down"
    elif op != "cumsum" and op != "running_mean":
        layout = "scan_row"
    return chain.finish(
        Program(
            family="scan", dtype=dtype, layout=layout, inputs=tuple(matrix(n, "full") for n in called), steps=(),
            sizes="scan", tolerance="TS" if dtype == "float32" else "",
        )
    )  # fmt: skip
