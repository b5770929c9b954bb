"""Programs along rows and columns: reductions, softmax, normalisations, losses."""

import random

from data_pipeline.synthetic.families.draw import around, matrix, names
from data_pipeline.synthetic.ops import COLUMN, CONSTANTS, LOSS, REDUCE, TOTAL
from data_pipeline.synthetic.program import Chain, Dtype, Input, Kind, Layout, Program

EXTREMA = frozenset(("max", "min", "abs_max"))
ROW_LAYOUTS: tuple[Layout, ...] = ("rows", "rows", "row_loop", "tile")


def reduction(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    kinds: tuple[Kind, ...] = rng.choice((("full",), ("full",), ("full", "full"), ("full", "row"), ("full", "col")))
    inputs = tuple(matrix(n, k) for n, k in zip(names(rng, len(kinds)), kinds, strict=True))
    chain = Chain(rng, inputs[0].name)
    before, after = around(rng, ops)
    late, op = kinds[-1] == "col", rng.choice(list(REDUCE))
    if op in EXTREMA:
        chain.before_extremum()
    chain.run(before, [inputs[1].name] if len(kinds) == 2 and not late else [])
    chain.must(op)
    chain.after_reduction(dtype)
    chain.run(after, [inputs[1].name] if late else [])
    layout = rng.choice(ROW_LAYOUTS)
    return chain.finish(Program(family="reduction", dtype=dtype, layout=layout, inputs=inputs, steps=(), result=("m",)))


def softmax(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    kinds: tuple[Kind, ...] = rng.choice((("full",), ("full",), ("full", "row"), ("full", "col"), ("full", "full")))
    inputs = tuple(matrix(n, k) for n, k in zip(names(rng, len(kinds)), kinds, strict=True))
    chain = Chain(rng, inputs[0].name)
    if rng.random() < 0.4:
        chain.must(rng.choice(("scale", "divide")), rng.choice(CONSTANTS))
    if len(kinds) == 2:
        # A row's softmax does not see a number added to the whole row, so a column input must multiply.
        choices = ("mul", "gate") if kinds[1] == "col" else ("add", "sub", "mul", "gate", "average")
        chain.must(rng.choice(choices), inputs[1].name)
    after = ops > 1 and rng.random() < 0.15
    while len(chain.steps) < ops - 1 - after:
        chain.unary()
    chain.must(rng.choice(("softmax", "log_softmax")))
    if after:
        chain.must("scale", rng.choice(CONSTANTS))
    layout = rng.choice(ROW_LAYOUTS)
    return chain.finish(Program(family="softmax", dtype=dtype, layout=layout, inputs=inputs, steps=()))


def normalisation(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    residual, weight = rng.random() < 0.25, rng.random() < 0.6
    bias = weight and not residual and rng.random() < 0.4
    present = (True, residual, weight, bias)
    slots: tuple[Kind, ...] = ("full", "full", "row", "row")
    called = rng.choice((["x", "y", "w", "b"], ["a", "add", "gain", "beta"], ["h", "skip", "weight", "bias"]))
    inputs = tuple(matrix(n, k) for n, k, here in zip(called, slots, present, strict=True) if here)
    chain = Chain(rng, called[0])
    if residual:
        chain.must("add", called[1])
    elif rng.random() < 0.3:
        chain.unary()
    norm = rng.choice(("layer_norm", "rms_norm", "l2_norm", "center", "max_norm"))
    if norm == "layer_norm" and chain.steps:
        # A constant row that is no longer a round number is all rounding error once centred, times 1/sqrt(eps).
        chain.bounds.pop("structured", None)
    chain.must(norm)
    if weight:
        chain.must("mul", called[2])
    if bias:
        chain.must("add", called[3])
    while len(chain.steps) < ops:
        chain.unary()
    layout = rng.choice(ROW_LAYOUTS)
    return chain.finish(Program(family="normalisation", dtype=dtype, layout=layout, inputs=inputs, steps=()))


def column(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """Reductions and normalisations along dimension 0."""
    count = rng.choice((1, 1, 2))
    called = names(rng, count)
    op = rng.choice(list(COLUMN))
    plain = op.removeprefix("column_")
    chain = Chain(rng, called[0])
    before, after = around(rng, ops)
    if plain in EXTREMA:
        chain.before_extremum()
    chain.run(before, called[1:])
    chain.must(op)
    if plain in REDUCE:
        chain.after_reduction(dtype)
    chain.run(after)
    layout: Layout = rng.choice(("column_loop", "column_loop", "column_tile"))
    return chain.finish(
        Program(
            family="column", dtype=dtype, layout=layout, inputs=tuple(matrix(n, "full") for n in called), steps=(),
            sizes="columns", result=("n",) if plain in REDUCE else ("m", "n"),
        )
    )  # fmt: skip


def total(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """One number for the whole tensor, in float32: the sum of 16-bit values has more digits than they have."""
    count = rng.choice((1, 1, 2))
    called = names(rng, count)
    op = rng.choice(list(TOTAL))
    chain = Chain(rng, called[0])
    before, after = around(rng, ops)
    if op in ("total_sum", "total_mean"):
        before = max(before, 1)
    if op.removeprefix("total_") in EXTREMA:
        chain.before_extremum()
        dtype = "float32"  # the largest of many 16-bit numbers is often the same in two draws
    chain.run(before, called[1:])
    chain.must(op)
    chain.after_reduction("float32")
    chain.run(after)
    chain.bounds.pop("structured", None)  # a few outliers are all that such a sum consists of
    return chain.finish(
        Program(
            family="total", dtype=dtype, layout="total", result_dtype="float32", tolerance="TS", sizes="total",
            inputs=tuple(Input(name=n, kind="full", shape=("m", "n")) for n in called), steps=(), result=(),
        )
    )  # fmt: skip


def loss(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """A number for each row that says how far it is from a target."""
    op = rng.choice(["cross_entropy", *LOSS])
    first, target = rng.choice((("logits", "labels"), ("x", "y"), ("pred", "target")))
    item = matrix(target, "full")
    if op == "cross_entropy":
        item = Input(name=target, kind="index", shape=("m",), contents="labels")
    chain = Chain(rng, first, {target: (0, 1)} if op == "cross_entropy" else None)
    before, after = around(rng, ops)
    chain.unaries = ("neg", "leaky_relu", "shift", "rsub", "tanh", "softsign", "sin")
    chain.run(before)
    chain.must(op, target)
    chain.after_reduction(dtype)
    chain.run(after)
    inputs = (matrix(first, "full"), item)
    return chain.finish(Program(family="loss", dtype=dtype, layout="loss", inputs=inputs, steps=(), result=("m",)))
