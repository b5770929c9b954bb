"""What a synthetic program is (typed inputs, a chain of steps, a layout), and how one is drawn for each family.

A chain carries one running value, `z`; every step takes it, an input or a constant. Intervals are propagated for
every input distribution: a step that would be pointless, overflow or lose accuracy on ordinary data is not taken,
and distributions on which the finished program would leave its dtype's range are not used for its cases.
"""

import random
from collections.abc import Callable
from typing import Literal

from data_pipeline.synthetic.intervals import Interval
from data_pipeline.synthetic.ops import BINARY, CONSTANT, CONSTANTS, OPS, REDUCE, UNARY
from sandbox.types import Distribution, Record

Dtype = Literal["float32", "float16", "bfloat16"]
Kind = Literal["full", "row", "col", "source", "index"]
"""full: (n,) or (m, n); row: (n,); col: (m,); source: (k,) or (k, n), read at `index`: (n,) or (m,) int64."""
Layout = Literal["flat", "flat2d", "rows"]
"""flat: one offset an element; flat2d: the same, row and column by division; rows: one program a row."""

RUNNING = "z"
INPUT_BOUNDS: dict[Distribution, Interval] = {
    "normal": (-6, 6),
    "large": (3, 17),
    "heavy_tailed": (-600, 600),
    "structured": (-600, 600),
}
"""What `sandbox.draw` can produce in tensors of the sizes used here, generously."""
LARGEST_INTERMEDIATE = 1e9
LARGEST_OUTPUT: dict[Dtype, float] = {"float32": 1e9, "bfloat16": 1e9, "float16": 3e4}


class Input(Record):
    name: str
    kind: Kind


class Step(Record):
    op: str
    args: tuple[str, ...]
    """Input names, constants, or `z` for the value of the step before."""


class Program(Record):
    family: str
    dtype: Dtype
    layout: Layout
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    two_dimensional: bool = False
    """Only for layout flat: whether tensors are (m, n) rather than (n,)."""
    distributions: tuple[Distribution, ...] = ("normal",)
    """On which the program stays finite and accurate."""

    @property
    def reduces(self) -> bool:
        return any(step.op in REDUCE for step in self.steps)

    def key(self) -> str:
        """The same for programs that differ only in names of inputs, layout or style: those count as one."""
        names = {item.name: f"%{i}" for i, item in enumerate(self.inputs)}
        steps = [f"{s.op}({','.join(names.get(a, a) for a in s.args)})" for s in self.steps]
        kinds = ",".join(item.kind for item in self.inputs)
        return f"{self.family}|{self.dtype}|{self.two_dimensional}|{kinds}|{';'.join(steps)}"


class DeadEndError(Exception):
    """No admissible operator was found; the caller draws another program."""


class Chain:
    """A program under construction: steps so far and the running value's interval under every distribution."""

    def __init__(self, rng: random.Random, first: str) -> None:
        self.rng = rng
        self.value = first
        self.steps: list[Step] = []
        self.bounds: dict[Distribution, Interval] = dict(INPUT_BOUNDS)

    def apply(self, op: str, args: tuple[str, ...]) -> bool:
        """Add a step if it is sensible on ordinary data and does not repeat the last one."""
        spec = OPS[op]
        if (self.steps and self.steps[-1].op == op) or any(args[i] == RUNNING for i in spec.raw):
            return False
        bounds: dict[Distribution, Interval] = {}
        for distribution, current in self.bounds.items():
            operands = [self._interval(arg, distribution, current) for arg in args]
            result = spec.bounds(*operands)
            if result is not None and max(abs(result[0]), abs(result[1])) <= LARGEST_INTERMEDIATE:
                bounds[distribution] = result
        if "normal" not in bounds:
            return False
        self.bounds, self.value = bounds, RUNNING
        self.steps.append(Step(op=op, args=args))
        return True

    def unary(self) -> None:
        """One random elementwise operator on the running value, a quarter of the time with a constant."""
        for _ in range(50):
            if self.rng.random() < 0.25:
                if self.apply(self.rng.choice(list(CONSTANT)), (self.value, self.rng.choice(CONSTANTS))):
                    return
            elif self.apply(self.rng.choice(list(UNARY)), (self.value,)):
                return
        raise DeadEndError

    def binary(self, other: str) -> None:
        """Join the running value with another input by a random operator, in either order."""
        for _ in range(50):
            args = (self.value, other) if self.rng.random() < 0.6 else (other, self.value)
            if self.apply(self.rng.choice(list(BINARY)), args):
                return
        raise DeadEndError

    def must(self, op: str, *others: str) -> None:
        if not self.apply(op, (self.value, *others)):
            raise DeadEndError

    def finish(self, program: Program) -> Program:
        """`program` with this chain's steps and the distributions that its dtype can hold."""
        limit = LARGEST_OUTPUT[program.dtype]
        fits = tuple(d for d, (low, high) in self.bounds.items() if max(-low, high) <= limit)
        if "normal" not in fits:
            raise DeadEndError
        return Program(
            **program.model_dump(exclude={"steps", "distributions"}), steps=tuple(self.steps), distributions=fits
        )

    def _interval(self, arg: str, distribution: Distribution, current: Interval) -> Interval:
        if arg == self.value:
            return current
        if arg in CONSTANTS:
            return float(arg), float(arg)
        return INPUT_BOUNDS[distribution]


def _names(rng: random.Random, count: int) -> list[str]:
    return list(rng.choice((("x", "y", "w"), ("a", "b", "c"), ("u", "v", "w"), ("p", "q", "r"))))[:count]


def _elementwise(rng: random.Random, dtype: Dtype) -> Program:
    count = rng.choices((1, 2, 3), (0.3, 0.5, 0.2))[0]
    names = _names(rng, count)
    length = max(count - 1, rng.choices((1, 2, 3, 4), (0.2, 0.4, 0.25, 0.15))[0], 1)
    chain = Chain(rng, names[0])
    joins = sorted(rng.sample(range(length), count - 1))
    for position in range(length):
        if position in joins:
            chain.binary(names[1 + joins.index(position)])
        else:
            chain.unary()
    inputs = tuple(Input(name=name, kind="full") for name in names)
    flat = Program(
        family="elementwise", dtype=dtype, layout="flat", inputs=inputs, steps=(), two_dimensional=rng.random() < 0.4
    )
    return chain.finish(flat)


def _broadcast(rng: random.Random, dtype: Dtype) -> Program:
    kinds: tuple[Kind, ...] = rng.choice((("full", "row"), ("full", "col"), ("full", "row", "col"), ("col", "row")))
    inputs = tuple(Input(name=n, kind=k) for n, k in zip(_names(rng, len(kinds)), kinds, strict=True))
    chain = Chain(rng, inputs[0].name)
    before = rng.random() < 0.3
    if before:
        chain.unary()
    for item in inputs[1:]:
        chain.binary(item.name)
    for _ in range(rng.choice((0, 1, 1) if before or len(kinds) == 3 else (0, 1, 1, 2))):
        chain.unary()
    layout: Layout = rng.choice(("rows", "flat2d"))
    return chain.finish(Program(family="broadcast", dtype=dtype, layout=layout, inputs=inputs, steps=()))


def _reduction(rng: random.Random, dtype: Dtype) -> Program:
    kinds: tuple[Kind, ...] = rng.choice((("full",), ("full",), ("full", "full"), ("full", "row"), ("full", "col")))
    inputs = tuple(Input(name=n, kind=k) for n, k in zip(_names(rng, len(kinds)), kinds, strict=True))
    chain = Chain(rng, inputs[0].name)
    if len(kinds) == 2 and kinds[1] != "col":
        chain.binary(inputs[1].name)
    for _ in range(rng.choice((0, 0, 1))):
        chain.unary()
    chain.must(rng.choice(list(REDUCE)))
    if kinds[-1] == "col":
        chain.binary(inputs[1].name)
    for _ in range(rng.choice((0, 0, 1))):
        chain.unary()
    return chain.finish(Program(family="reduction", dtype=dtype, layout="rows", inputs=inputs, steps=()))


def _softmax(rng: random.Random, dtype: Dtype) -> Program:
    kinds: tuple[Kind, ...] = rng.choice((("full",), ("full",), ("full", "row"), ("full", "col"), ("full", "full")))
    inputs = tuple(Input(name=n, kind=k) for n, k in zip(_names(rng, len(kinds)), kinds, strict=True))
    chain = Chain(rng, inputs[0].name)
    if rng.random() < 0.4:
        chain.must(rng.choice(("scale", "divide")), rng.choice(CONSTANTS))
    if len(kinds) == 2:
        # A row's softmax does not see a number added to the whole row, so a column input must multiply.
        choices = ("mul", "gate") if kinds[1] == "col" else ("add", "sub", "mul", "gate", "average")
        chain.must(rng.choice(choices), inputs[1].name)
    if rng.random() < 0.4:
        chain.unary()
    chain.must(rng.choice(("softmax", "log_softmax")))
    if rng.random() < 0.15:
        chain.must("scale", rng.choice(CONSTANTS))
    return chain.finish(Program(family="softmax", dtype=dtype, layout="rows", inputs=inputs, steps=()))


def _normalisation(rng: random.Random, dtype: Dtype) -> Program:
    residual, weight = rng.random() < 0.25, rng.random() < 0.6
    bias = weight and not residual and rng.random() < 0.4
    present = (True, residual, weight, bias)
    slots: tuple[Kind, ...] = ("full", "full", "row", "row")
    names = rng.choice((["x", "y", "w", "b"], ["a", "add", "gain", "beta"], ["h", "skip", "weight", "bias"]))
    inputs = tuple(Input(name=n, kind=k) for n, k, here in zip(names, slots, present, strict=True) if here)
    chain = Chain(rng, names[0])
    if residual:
        chain.must("add", names[1])
    elif rng.random() < 0.3:
        chain.unary()
    norm = rng.choice(("layer_norm", "rms_norm", "l2_norm", "center", "max_norm"))
    if norm == "layer_norm" and chain.steps:
        # A constant row that is no longer a round number is all rounding error once centred, times 1/sqrt(eps).
        chain.bounds.pop("structured", None)
    chain.must(norm)
    if weight:
        chain.must("mul", names[2])
    if bias:
        chain.must("add", names[3])
    if rng.random() < 0.35:
        chain.unary()
    return chain.finish(Program(family="normalisation", dtype=dtype, layout="rows", inputs=inputs, steps=()))


def _gather(rng: random.Random, dtype: Dtype) -> Program:
    layout: Layout = rng.choice(("rows", "flat"))
    source, index = rng.choice((("table", "idx"), ("src", "index"), ("emb", "ids")))
    choices: dict[Layout, tuple[tuple[Kind, ...], ...]] = {
        "rows": ((), ("full",), ("row",), ("col",)),
        "flat": ((), ("full",)),
    }
    others = rng.choice(choices[layout])
    inputs = [Input(name=source, kind="source"), Input(name=index, kind="index")]
    inputs += [Input(name=name, kind=kind) for name, kind in zip(_names(rng, len(others)), others, strict=True)]
    chain = Chain(rng, source)
    if rng.random() < 0.3:
        chain.unary()
    for item in inputs[2:]:
        chain.binary(item.name)
    for _ in range(rng.choice((0, 1, 1))):
        chain.unary()
    return chain.finish(Program(family="gather", dtype=dtype, layout=layout, inputs=tuple(inputs), steps=()))


DRAW: dict[str, Callable[[random.Random, Dtype], Program]] = {
    "elementwise": _elementwise,
    "broadcast": _broadcast,
    "reduction": _reduction,
    "softmax": _softmax,
    "normalisation": _normalisation,
    "gather": _gather,
}
