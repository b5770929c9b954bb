"""Programs whose results are exact: integer arithmetic and comparisons."""

import random

from data_pipeline.synthetic.families.draw import names
from data_pipeline.synthetic.ops import BOOL_BINARY, COMPARE, INT_BINARY, INT_UNARY
from data_pipeline.synthetic.program import Chain, Contents, Dtype, Input, Program, Sizes

ENDINGS = ("int_parity", "int_low_byte", "int_clip", "int_relu", "int_halve")
"""Operators that lose so much of their operand that another one after them may leave nothing."""


def integer(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """`dtype` is replaced by one of integers."""
    count = rng.choices((1, 2, 3), (0.25, 0.55, 0.2))[0]
    called = names(rng, count)
    chain = Chain(rng, called[0])
    last = max(ops, count - 1) - 1
    joins = sorted(rng.sample(range(last + 1), count - 1))
    for position in range(last + 1):
        if position in joins:
            chain.one_of(list(INT_BINARY), called[1 + joins.index(position)])
        else:
            choices = [op for op in INT_UNARY if position == last or op not in ENDINGS]
            chain.one_of([op for op in choices if op != "int_parity" or position == 0])
    sizes: Sizes = rng.choice(("flat", "rows"))
    shape = ("n",) if sizes == "flat" else ("m", "n")
    return chain.finish(
        Program(
            family="integer", dtype=rng.choice(("int32", "int32", "int64")), layout="flat", sizes=sizes, result=shape,
            inputs=tuple(Input(name=name, kind="full", shape=shape, contents="integers") for name in called), steps=(),
        )
    )  # fmt: skip


def compare(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """A comparison of two inputs as they are, joined with up to three boolean inputs."""
    called = list(rng.choice(("xywuv", "abcde", "pqrst")))[: max(2, min(5, 1 + ops))]
    numbers: Contents = "integers" if rng.random() < 0.3 else "normal"
    chain = Chain(rng, called[0])
    chain.one_of([op for op in COMPARE if numbers == "normal" or op != "between"], called[1])
    inputs = [Input(name=name, kind="full", shape=("n",), contents=numbers) for name in called[:2]]
    for name in called[2:]:
        chain.one_of(list(BOOL_BINARY), name)
        inputs.append(Input(name=name, kind="mask", shape=("n",), contents="booleans"))
    return chain.finish(
        Program(
            family="compare", dtype=dtype if numbers == "normal" else "int32", layout="flat", inputs=tuple(inputs),
            steps=(), sizes="flat", result=("n",), result_dtype="bool",
        )
    )  # fmt: skip
