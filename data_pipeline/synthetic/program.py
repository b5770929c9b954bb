"""What a synthetic program is (typed inputs, a chain of steps, a layout), and how a chain is built step by step.

A chain carries one running value, `z`; every step takes it, an input or a constant. Intervals are propagated for
every input distribution: a step that would be pointless, overflow or lose accuracy on ordinary data is not taken,
and distributions on which the finished program would leave its dtype's range are not used for its cases.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Literal

from data_pipeline.synthetic.intervals import Interval
from data_pipeline.synthetic.ops import BINARY, CONSTANT, CONSTANTS, NUMBERS, OPS, UNARY
from sandbox.types import Distribution, Record

Dtype = Literal["float32", "float16", "bfloat16", "int32", "int64"]
Kind = Literal["full", "row", "col", "source", "index", "codes", "mask"]
"""How a template reads an input. full: an element of its own for each of the result; row: one a column; col: one a row;
source: read at `index`; codes: small integers that become floats; mask: booleans like `full`."""
Contents = Literal[
    "normal", "small", "index", "columns", "permutation", "labels", "int8", "uint8", "integers", "booleans", "scale",
    "zero", "angle",
]  # fmt: skip
"""What an input holds; `render.CONTENTS` says how each is drawn."""
View = Literal["", "transposed", "sliced", "second"]
"""How an input lies in memory: contiguous, the transpose of that, a slice of wider rows, every second column."""
Layout = Literal[
    "flat", "flat2d", "rows", "tile", "row_loop", "column_loop", "column_tile", "total", "scan_row", "scan_loop",
    "scan_down", "matmul", "attention", "rotary", "take", "scatter", "unpack", "loss",
]  # fmt: skip
"""The template that compiles the program: see `templates`."""
Sizes = Literal["flat", "rows", "cube", "columns", "total", "scan", "matmul", "attention", "rotary", "packed", "table"]
"""Which shapes its cases have: see `cases`."""

RUNNING = "z"
INPUT_BOUNDS: dict[Distribution, Interval] = {
    "normal": (-6, 6),
    "large": (3, 17),
    "heavy_tailed": (-600, 600),
    "structured": (-600, 600),
}
"""What `sandbox.judging.draw` can produce in tensors of the sizes used here, generously."""
LARGEST_INTERMEDIATE = 1e9
LARGEST_OUTPUT: dict[Dtype, float] = {"float32": 1e9, "bfloat16": 1e9, "float16": 3e4, "int32": 2, "int64": 2}


class Input(Record):
    name: str
    kind: Kind
    shape: tuple[str, ...]
    """Dimensions by name, or as a product such as `2 * n`."""
    contents: Contents = "normal"
    view: View = ""

    @property
    def floating(self) -> bool:
        return self.contents in ("normal", "small", "scale", "zero", "angle")


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
    sizes: Sizes = "rows"
    result: tuple[str, ...] = ("m", "n")
    """Shape of the output."""
    result_dtype: Dtype | Literal["", "bool", "int8"] = ""
    """Where it is not the dtype of the inputs."""
    tolerance: str = ""
    """Where it is not the usual one of the dtype."""
    distributions: tuple[Distribution, ...] = ("normal",)
    """On which the program stays finite and accurate."""

    @property
    def reduces(self) -> bool:
        return any(step.op in NUMBERS for step in self.steps)

    def of_kind(self, *kinds: Kind) -> list[Input]:
        return [item for item in self.inputs if item.kind in kinds]

    def key(self) -> str:
        """The same for programs that differ only in names of inputs, template or style: those count as one."""
        names = {item.name: f"%{i}" for i, item in enumerate(self.inputs)}
        steps = [f"{s.op}({','.join(names.get(a, a) for a in s.args)})" for s in self.steps]
        kinds = ",".join(f"{item.kind}{len(item.shape)}{item.view}{item.contents[:2]}" for item in self.inputs)
        return f"{self.family}|{self.dtype}|{kinds}|{';'.join(steps)}"


_EVEN = frozenset(
    "abs square cos gaussian log1p sqrt1 rsqrt1 reciprocal magnitudes_above abs_max abs_sum sum_squares mean_squares "
    "total_sum_squares total_mean_squares total_abs_sum total_abs_max total_norm total_rms".split()
) | {f"column_{name}" for name in ("abs_max", "abs_sum", "sum_squares", "mean_squares")}
_ODD = frozenset("scale divide neg cube tanh softsign sin clamp1 l2_norm rms_norm max_norm".split())
_SIGN = frozenset(("flip_sign", "flip_where", "neg"))
"""An even function of what only changed its sign does not see the change; odd ones pass it on."""


class DeadEndError(Exception):
    """No admissible operator was found; the caller draws another program."""


class Chain:
    """A program under construction: steps so far and the running value's interval under every distribution."""

    def __init__(self, rng: random.Random, first: str, known: Mapping[str, Interval] | None = None) -> None:
        """`known`: intervals of inputs that no distribution applies to."""
        self.rng = rng
        self.value = first
        self.steps: list[Step] = []
        self.known = dict(known or {})
        self.unaries: Sequence[str] = (*UNARY, *CONSTANT)
        self.binaries: Sequence[str] = tuple(BINARY)
        self.sign_only = False
        self.bounds: dict[Distribution, Interval] = {
            distribution: self.known.get(first, bounds) for distribution, bounds in INPUT_BOUNDS.items()
        }

    def apply(self, op: str, args: tuple[str, ...]) -> bool:
        """Add a step if it is sensible on ordinary data and does not repeat the last one."""
        spec = OPS[op]
        if (self.steps and self.steps[-1].op == op) or any(args[i] == RUNNING for i in spec.raw):
            return False
        if self.sign_only and op in _EVEN:
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
        self.sign_only = op in _SIGN or (self.sign_only and op in _ODD)
        self.steps.append(Step(op=op, args=args))
        return True

    def unary(self) -> None:
        """One random elementwise operator on the running value, a quarter of the time with a constant."""
        for _ in range(50):
            wants_constant = self.rng.random() < 0.25
            ops = [name for name in self.unaries if (name in CONSTANT) == wants_constant]
            constant = (self.rng.choice(CONSTANTS),) if wants_constant else ()
            if ops and self.apply(self.rng.choice(ops), (self.value, *constant)):
                return
        raise DeadEndError

    def binary(self, other: str) -> None:
        """Join the running value with another input by a random operator, in either order."""
        for _ in range(50):
            args = (self.value, other) if self.rng.random() < 0.6 else (other, self.value)
            if self.apply(self.rng.choice(self.binaries), args):
                return
        raise DeadEndError

    def before_extremum(self) -> None:
        """From now on only operators after which the largest and the smallest value still tell tensors apart."""
        self.unaries = ("neg", "leaky_relu", "cube", "scale", "divide", "shift", "rsub")
        self.binaries = ("add", "sub", "mul", "average")

    def after_reduction(self, dtype: Dtype) -> None:
        """From now on only operators that tell numbers apart that are all alike, such as means of many values."""
        self.unaries, self.binaries = ("neg", "abs", "square", "leaky_relu", "log1p", "scale", "divide"), ("mul",)
        if dtype == "float32":
            self.unaries = (*self.unaries, "shift", "rsub", "sin")
            self.binaries = ("add", "sub", "mul", "average", "difference2")

    def run(self, count: int, others: Sequence[str] = ()) -> None:
        """`count` elementwise operators, or as many as it takes to join all of `others`, joined at random places."""
        count = max(count, len(others))
        joins = sorted(self.rng.sample(range(count), len(others)))
        for position in range(count):
            if position in joins:
                self.binary(others[joins.index(position)])
            else:
                self.unary()

    def must(self, op: str, *others: str) -> None:
        if not self.apply(op, (self.value, *others)):
            raise DeadEndError

    def one_of(self, ops: Sequence[str], *others: str) -> None:
        self.must(self.rng.choice(list(ops)), *others)

    def finish(self, program: Program) -> Program:
        """`program` with this chain's steps and the distributions that its dtype can hold."""
        limit = LARGEST_OUTPUT[program.dtype] if not program.result_dtype else LARGEST_INTERMEDIATE
        fits = tuple(d for d, (low, high) in self.bounds.items() if max(-low, high) <= limit)
        if "normal" not in fits:
            raise DeadEndError
        return Program(
            **program.model_dump(exclude={"steps", "distributions"}), steps=tuple(self.steps), distributions=fits
        )

    def _interval(self, arg: str, distribution: Distribution, current: Interval) -> Interval:
        if arg == self.value:
            return current
        if arg[0].isdigit():
            return float(arg), float(arg)
        return self.known.get(arg, INPUT_BOUNDS[distribution])
