"""How the inputs of a task are drawn: a kind of values for each tensor, and the call of `draw` that makes them.

Kinds: `normal` (the case's distribution applies), `uniform LOW HIGH`, `whole LOW HIGH` (integers in [LOW, HIGH), in
any dtype), `rare N` (one in N is 1, the others 0), `sign` (-1 or 1), `distinct` (no two equal, so that positions are
defined), `sorted` (along the last axis), `infinite` (some are), `mask P` (True with probability P), `index` and
`permuted` (below a bound; without repetition along an axis).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from data_pipeline.opdb.template import Dim

MARGIN = 0.01
"""Share of a domain's width that is left out at both ends, where operators may be infinite."""


class Values(NamedTuple):
    """What a tensor holds."""

    kind: str
    bound: tuple[Dim, ...] = ()
    """Of an index: the factors of its exclusive upper bound."""
    axis: int = 0
    """Along which a `permuted` index does not repeat itself."""


def of_range(low: float, high: float, integer: bool) -> str:
    """The kind of values that samples between `low` and `high` stand for.

    OpInfo draws from [-9, 9] where an operator takes anything, and from its domain otherwise.
    """
    if integer:
        return "whole -99 100" if low < -1 else f"whole {max(int(low), 0)} {max(int(high) + 1, 20)}"
    if low < -1 or high < 0:
        return "normal"
    low, high = float(math.floor(low)), float(math.ceil(high))
    margin = MARGIN * (high - low)
    return f"uniform {low + margin:g} {high - margin:g}"


def draw_text(values: Values, shape: Sequence[Dim], dtype: str) -> str:
    """The expression; `dtype` is the text of the dtype, empty for indices and masks."""
    kind, *numbers = values.kind.split()
    sizes = ", ".join(size_text(dim) for dim in shape)
    before = f"{sizes}, " if sizes else ""
    match kind:
        case "normal":
            return f"draw.normal({before}dtype={dtype})"
        case "uniform":
            return f"draw.uniform({before}low={numbers[0]}, high={numbers[1]}, dtype={dtype})"
        case "whole":
            return f"draw.integers({before}low={numbers[0]}, high={numbers[1]}, dtype={dtype})"
        case "sign":
            return f"draw.integers({before}low=0, high=2, dtype={dtype}) * 2 - 1"
        case "rare":
            return f"draw.integers({before}low=0, high={numbers[0]}, dtype={dtype}) // {int(numbers[0]) - 1}"
        case "mask":
            return f"draw.booleans({before}probability={numbers[0]})"
        case "sorted":
            return f"draw.normal({before}dtype={dtype}).sort(dim=-1).values"
        case "infinite":
            mask = f"draw.booleans({before}probability=0.2)"
            return (
                f'draw.normal({before}dtype={dtype}).masked_fill({mask}, float("inf"))'
                f'.masked_fill({mask}, float("-inf"))'
            )
        case "distinct":
            total = " * ".join(size_text(dim) for dim in shape)
            return f"(draw.permutation({total}).reshape({sizes}) - {total} // 2) / 64"
        case "permuted":
            return _permuted(values, shape)
    bound = " * ".join(size_text(dim) for dim in values.bound)
    return f"draw.integers({before}low=0, high={bound})"


def size_text(dim: Dim) -> str:
    return f'case["{dim}"]' if isinstance(dim, str) else str(dim)


def words(name: str, values: Values) -> str:
    """What a person must know of the values of an input; empty if they may be anything."""
    kind, *numbers = values.kind.split()
    match kind:
        case "uniform":
            return f"{name} lies in [{numbers[0]}, {numbers[1]})"
        case "whole":
            return f"{name} holds whole numbers in [{numbers[0]}, {numbers[1]})"
        case "rare":
            return f"about one in {numbers[0]} values of {name} is 1, the others are 0"
        case "sign":
            return f"{name} is -1 or 1"
        case "distinct":
            return f"all values of {name} differ"
        case "sorted":
            return f"{name} is sorted along its last dimension"
        case "index":
            return f"{name} holds indices below {' * '.join(str(dim) for dim in values.bound)}"
        case "permuted":
            return f"{name} holds indices below {' * '.join(str(dim) for dim in values.bound)} without repetition"
    return ""


def dtype_text(dtype: torch.dtype, main: torch.dtype) -> str:
    """Tensors of the sample's own dtype follow the case's; others keep theirs."""
    return 'case["dtype"]' if dtype == main else f'"{str(dtype).removeprefix("torch.")}"'


def _permuted(values: Values, shape: Sequence[Dim]) -> str:
    bound = " * ".join(size_text(dim) for dim in values.bound)
    if len(shape) == 1:
        return f"draw.permutation({bound})[: {size_text(shape[0])}]"
    if len(shape) == 0:
        return f"draw.integers(low=0, high={bound})"
    axis = values.axis % len(shape)
    whole = ", ".join(bound if number == axis else size_text(dim) for number, dim in enumerate(shape))
    return f"draw.uniform({whole}).argsort(dim={axis}).narrow({axis}, 0, {size_text(shape[axis])}).contiguous()"
