"""What an operator of synthetic programs is: how it is written in PyTorch, in Triton and in words, and what it does to
intervals.

`{0}`, `{1}`, … are operands. `bounds` maps the operands' intervals to the result's, or to None where the operator would
be pointless or inaccurate there; it is what keeps programs finite and testable. No operator is discontinuous in a
computed value: rounding could then not be told from a mistake.
"""

from typing import Literal, NamedTuple

from data_pipeline.synthetic.intervals import Bounds

MAX_ROW = 320
"""Longest row that a case may have; sums are bounded with it."""
Fold = Literal["sum", "max", "min"]
IDENTITY: dict[Fold, str] = {"sum": "0.0", "max": 'float("-inf")', "min": 'float("inf")'}


class Op(NamedTuple):
    """One operator. `triton` may be several lines that end by assigning `{out}`; empty where a template lowers it."""

    torch: str
    triton: str
    words: str
    bounds: Bounds
    arity: int = 1
    identity: Literal["0.0", 'float("-inf")', 'float("inf")'] | None = None
    """What masked lanes must hold for operators along the row; None for elementwise operators."""
    raw: tuple[int, ...] = ()
    """Operands that must be inputs, because the operator jumps in them."""


class Pass(NamedTuple):
    """One reading of the row that ends in a number, `name`."""

    name: str
    map: str
    """Of an element `{0}` and of the numbers of earlier passes."""
    fold: Fold
    finish: str = "{0}"


class Looped(NamedTuple):
    """An operator along a row as several readings of it, for rows that are not held whole."""

    passes: tuple[Pass, ...]
    apply: str
    """The result: of an element `{0}` and the numbers of the passes, or of those alone for row → number."""
