"""Programs that read or write where an index says."""

import random

from data_pipeline.synthetic.families.draw import around, matrix, names
from data_pipeline.synthetic.program import Chain, Dtype, Input, Kind, Layout, Program


def gather(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    layout: Layout = rng.choice(("rows", "flat"))
    source, index = rng.choice((("table", "idx"), ("src", "index"), ("emb", "ids")))
    choices: dict[Layout, tuple[tuple[Kind, ...], ...]] = {
        "rows": ((), ("full",), ("row",), ("col",)),
        "flat": ((), ("full",)),
    }
    others = rng.choice(choices[layout])
    made = [matrix(name, kind) for name, kind in zip(names(rng, len(others)), others, strict=True)]
    inputs = [matrix(source, "source"), matrix(index, "index"), *made]
    if layout == "flat":
        shapes: dict[Kind, tuple[str, ...]] = {"source": ("k",), "index": ("n",), "full": ("n",)}
        inputs = [item.model_copy(update={"shape": shapes[item.kind]}) for item in inputs]
    chain = Chain(rng, source)
    chain.run(ops - 1, [item.name for item in inputs[2:]])
    flat = layout == "flat"
    return chain.finish(
        Program(
            family="gather", dtype=dtype, layout=layout, inputs=tuple(inputs), steps=(),
            sizes="flat" if flat else "rows", result=("n",) if flat else ("m", "n"),
        )
    )  # fmt: skip


def scatter(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """Rows added to or put where an index says, or elements read along a row. Atomic sums are in float32."""
    op = rng.choice(("index_add", "scatter_rows", "take_along"))
    first, index = rng.choice((("x", "idx"), ("src", "index"), ("updates", "rows")))
    chain = Chain(rng, first, {index: (0, 1)})
    before, after = around(rng, ops)
    value = matrix(first, "full")
    if op == "index_add":
        before, after = before + after, 0
        base = rng.choice(("base", "out_init", "acc_in"))
        chain.run(before)
        chain.must(op, base, index)
        inputs = (value, Input(name=base, kind="source", shape=("k", "n")), matrix(index, "index"))
        return chain.finish(
            Program(
                family="scatter", dtype="float32", layout="scatter", inputs=inputs, steps=(), result=("k", "n"),
                tolerance="TS", sizes="table",
            )
        )  # fmt: skip
    chain.run(before)
    chain.must(op, index)
    chain.run(after)
    if op == "scatter_rows":
        item = Input(name=index, kind="index", shape=("m",), contents="permutation")
        return chain.finish(
            Program(family="scatter", dtype=dtype, layout="scatter", inputs=(value, item), steps=(), sizes="table")
        )
    item = Input(name=index, kind="index", shape=("m", "k"), contents="columns")
    return chain.finish(
        Program(family="scatter", dtype=dtype, layout="take", inputs=(value, item), steps=(), result=("m", "k"))
    )
