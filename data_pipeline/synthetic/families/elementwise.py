"""Elementwise programs on floats: plain, with broadcasting, with masks, and on tensors that are not contiguous."""

import random

from data_pipeline.synthetic.families.draw import matrix, names
from data_pipeline.synthetic.ops import BINARY, SELECT
from data_pipeline.synthetic.program import Chain, Dtype, Input, Kind, Layout, Program, Sizes, View


def elementwise(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    count = rng.choices((1, 2, 3), (0.3, 0.5, 0.2))[0]
    called = names(rng, count)
    chain = Chain(rng, called[0])
    chain.run(ops, called[1:])
    sizes: Sizes = rng.choices(("flat", "rows", "cube"), (0.6, 0.32, 0.08))[0]
    shape = {"flat": ("n",), "rows": ("m", "n"), "cube": ("b", "m", "n")}[sizes]
    inputs = tuple(Input(name=name, kind="full", shape=shape) for name in called)
    return chain.finish(
        Program(
            family="elementwise", dtype=dtype, layout="flat", inputs=inputs, steps=(), sizes=sizes, result=shape
        )
    )  # fmt: skip


def broadcast(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    kinds: tuple[Kind, ...] = rng.choice((("full", "row"), ("full", "col"), ("full", "row", "col"), ("col", "row")))
    inputs = tuple(matrix(n, k) for n, k in zip(names(rng, len(kinds)), kinds, strict=True))
    chain = Chain(rng, inputs[0].name)
    if rng.random() < 0.3:
        chain.unary()
    for item in inputs[1:]:
        # A few rows may all have one sign.
        chain.binaries = [op for op in BINARY if op != "flip_sign" or item.kind != "col"]
        chain.binary(item.name)
    while len(chain.steps) < ops:
        chain.unary()
    layout: Layout = rng.choice(("rows", "flat2d", "tile"))
    return chain.finish(Program(family="broadcast", dtype=dtype, layout=layout, inputs=inputs, steps=()))


def masked(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """A boolean input decides what an element becomes."""
    called = names(rng, 2)
    op = rng.choice(list(SELECT))
    inputs = [Input(name=called[0], kind="full", shape=("n",))]
    mask = rng.choice(("keep", "flag", "m1"))
    inputs.append(Input(name=mask, kind="mask", shape=("n",), contents="booleans"))
    others = [called[1]] if op == "select" else []
    inputs += [Input(name=name, kind="full", shape=("n",)) for name in others]
    chain = Chain(rng, called[0], {mask: (0, 1)})
    before = rng.randint(0, max(0, ops - 1))
    chain.run(before)
    chain.must(op, mask, *others)
    chain.run(max(0, ops - 1 - before))
    return chain.finish(
        Program(
            family="masked", dtype=dtype, layout="flat", inputs=tuple(inputs), steps=(), sizes="flat", result=("n",)
        )
    )  # fmt: skip


def strided(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """Inputs that are views: transposed, cut out of wider rows, every second column."""
    count = rng.choices((1, 2), (0.5, 0.5))[0]
    called = names(rng, count)
    views: list[View] = [rng.choice(("transposed", "transposed", "sliced", "second"))]
    views += [rng.choice(("", "transposed"))] * (count - 1)
    inputs = tuple(Input(name=n, kind="full", shape=("m", "n"), view=v) for n, v in zip(called, views, strict=True))
    chain = Chain(rng, called[0])
    chain.run(ops, called[1:])
    return chain.finish(Program(family="strided", dtype=dtype, layout="tile", inputs=inputs, steps=()))
