"""Products of matrices with what surrounds them in models, attention, and rotary embeddings."""

import random

from data_pipeline.synthetic.families.draw import names
from data_pipeline.synthetic.ops import MATMUL
from data_pipeline.synthetic.program import Chain, Dtype, Input, Kind, Program

TF32 = "TT"
"""float32 products may use tensor cores."""


def matmul(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """A product and an epilogue: bias, activation, residual, scales of rows."""
    op = rng.choice(["linear", *MATMUL])
    left, right = rng.choice((("x", "w"), ("a", "b"), ("x", "weight"), ("p", "q")))
    shapes = {"matmul": ("m k", "k n"), "linear": ("m k", "n k"), "matmul_tn": ("k m", "k n")}[op]
    inputs = [
        Input(name=left, kind="full", shape=tuple(shapes[0].split())),
        Input(name=right, kind="full", shape=tuple(shapes[1].split()), contents="small"),
    ]
    chain = Chain(rng, left, {right: (-0.6, 0.6)})
    chain.must(op, right)
    choices: tuple[list[Kind], ...] = ([], ["row"], ["row"], ["full"], ["row", "full"], ["col"], ["row", "col"])
    extra = rng.choice(choices)[: ops - 1]
    called = [{"row": "bias", "full": "residual", "col": "gain"}[kind] for kind in extra]
    for name, kind in zip(called, extra, strict=True):
        shape = {"row": ("n",), "full": ("m", "n"), "col": ("m",)}[kind]
        inputs.append(Input(name=name, kind=kind, shape=shape))
        chain.one_of({"row": ("add", "add", "mul"), "full": ("add", "mul", "gate"), "col": ("mul", "gate")}[kind], name)
        if len(chain.steps) < ops and rng.random() < 0.5:
            chain.unary()
    while len(chain.steps) < ops:
        chain.unary()
    chain.bounds.pop("structured", None)
    if dtype == "float32":
        chain.bounds.pop("heavy_tailed", None)  # terms of TF32's precision, where a clamp leaves only small values
    return chain.finish(
        Program(
            family="matmul", dtype=dtype, layout="matmul", inputs=tuple(inputs), steps=(), sizes="matmul",
            tolerance=TF32 if dtype == "float32" else "",
        )
    )  # fmt: skip


def attention(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """Scores, their softmax, and their product with values; one head or several."""
    heads = rng.random() < 0.4
    shape = ("b",) if heads else ()
    inputs = [Input(name=n, kind="full", shape=(*shape, *s)) for n, s in (("q", ("m", "d")), ("k", ("n", "d")))]
    chain = Chain(rng, "q")
    chain.must("scores", "k")
    scale = rng.choice(("0.25", "0.1", "0.5"))
    chain.must("scale", scale)
    if rng.random() < 0.4 and len(chain.steps) < ops:
        inputs.append(Input(name="bias", kind="full", shape=("m", "n")))
        chain.must("add", "bias")
    if rng.random() < 0.35 and len(chain.steps) < ops:
        chain.must(rng.choice(("tanh", "softsign", "clamp_min", "silu", "leaky_relu", "elu", "clamp1")))
        chain.must("scale", rng.choice(("2.0", "3.0", "1.5")))
    mask = rng.choice(("", "causal", "causal", "window"))
    ending = rng.choice(("attend", "attend", "attend", "weights", "scores"))
    if mask and ending != "scores":
        chain.must(mask)
    if ending == "attend":
        inputs.append(Input(name="v", kind="full", shape=(*shape, "n", "d")))
        chain.must("attend", "v")
    elif ending == "weights":
        chain.must("weights")
    while len(chain.steps) < ops:
        if ending == "attend" and rng.random() < 0.4 and not any(i.name == "g" for i in inputs):
            inputs.append(Input(name="g", kind="full", shape=(*shape, "m", "d")))
            chain.one_of(("add", "mul", "gate", "sub"), "g")
        else:
            chain.unary()
    chain.bounds = {"normal": chain.bounds["normal"]}
    return chain.finish(
        Program(
            family="attention", dtype=dtype, layout="attention", inputs=tuple(inputs), steps=(), sizes="attention",
            result=(*shape, "m", "d" if ending == "attend" else "n"), tolerance=TF32 if dtype == "float32" else "",
        )
    )  # fmt: skip


def rotary(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    op = rng.choice(("rotate_halves", "rotate_pairs"))
    first = rng.choice(("x", "q", "h"))
    inputs = [Input(name=first, kind="full", shape=("m", "2 * n"))]
    chain = Chain(rng, first, {"cos": (-1, 1), "sin": (-1, 1)})
    chain.run(rng.randint(0, max(0, ops - 1)))
    chain.must(op, "cos", "sin")
    chain.run(max(0, ops - len(chain.steps)))
    inputs += [Input(name=n, kind="row", shape=("m", "n"), contents="angle") for n in ("cos", "sin")]
    return chain.finish(
        Program(
            family="rotary", dtype=dtype, layout="rotary", inputs=tuple(inputs), steps=(), sizes="rotary",
            result=("m", "2 * n"),
        )
    )  # fmt: skip


def quantised(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """Small integers with scales, 4-bit codes, and rounding to codes and back."""
    form = rng.choice(("int8", "int8", "uint8", "packed", "packed", "codes"))
    if form == "codes":
        return _to_codes(rng, dtype, ops)
    name = rng.choice(("q", "codes", "packed" if form == "packed" else "x_q"))
    per: Kind = rng.choice(("col", "row")) if form != "packed" else "col"
    scale = Input(name="scale", kind=per, shape=("m",) if per == "col" else ("n",), contents="scale")
    zero = form == "uint8" or (form == "packed" and rng.random() < 0.5)
    limits = {"int8": (-127.0, 127.0), "uint8": (0.0, 255.0), "packed": (0.0, 255.0)}[form]
    chain = Chain(rng, name, {name: limits, "scale": (0.01, 0.11), "zero": (0, 16)})
    width = "n // 2" if form == "packed" else "n"
    inputs = [Input(name=name, kind="codes", shape=("m", width), contents="int8" if form == "int8" else "uint8"), scale]
    if form == "packed":
        chain.must("unpack")
    if zero:
        chain.must("dequantise_zero", "scale", "zero")
        inputs.append(scale.model_copy(update={"name": "zero", "contents": "zero"}))
    else:
        chain.must("dequantise", "scale")
    other = rng.choice(("", "x", "w"))
    if other and len(chain.steps) < ops + 1:
        inputs.append(
            Input(name=other, kind="full" if other == "x" else "row", shape=("m", "n") if other == "x" else ("n",))
        )
        chain.binary(other)
    while len(chain.steps) < ops:
        chain.unary()
    packed = form == "packed"
    return chain.finish(
        Program(
            family="quantised", dtype=dtype, layout="unpack" if packed else rng.choice(("rows", "flat2d", "tile")),
            inputs=tuple(inputs), steps=(), sizes="packed" if packed else "rows",
        )
    )  # fmt: skip


def _to_codes(rng: random.Random, dtype: Dtype, ops: int) -> Program:
    """Rounding to int8 jumps, so everything before it is exact: picks and signs of inputs, a power of two as scale."""
    count = rng.choice((1, 2)) if ops > 1 else 1
    called = names(rng, count)
    chain = Chain(rng, called[0])
    chain.unaries, chain.binaries = ("neg", "abs", "relu", "clamp1", "clamp_min", "clamp_max"), ("maximum", "minimum")
    chain.run(ops - 1, called[1:])
    chain.must("quantise", rng.choice(("2.0", "4.0", "8.0", "16.0")))
    chain.bounds = {"normal": chain.bounds["normal"]}
    inputs = tuple(Input(name=name, kind="full", shape=("n",)) for name in called)
    return chain.finish(
        Program(
            family="quantised", dtype=dtype, layout="flat", inputs=inputs, steps=(), sizes="flat", result=("n",),
            result_dtype="int8",
        )
    )  # fmt: skip
