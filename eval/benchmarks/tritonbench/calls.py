"""Calls that a test of TritonBench makes of the gold code, as data, and as the text of a task that poses them anew.

1. A call is kept as an expression. Scalars, dtypes, lists stand in it as they are; tensors are holes.
2. Of a tensor are kept shape, strides, dtype and range. Values only of small integer tensors that say where something
   lies: sorted ones (offsets, lengths) and those without repetition (slots, permutations).
3. A test calls with keywords, several functions, or `.apply` of a class, and looks at what was changed in place. A
   candidate is called by position, by one name, and returns what counts. So the calls are put below the reference and
   below every candidate, as one function `judged(call, *tensors)`.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch

from data_pipeline.opdb.values import Values, draw_text
from sandbox.types import Record

JUDGED = "judged"
MOST_VALUES = 4096
"""Elements of an integer tensor that may be kept by value."""
Spread = Literal["signed", "ranged"]
"""Floating-point tensors take any sign, or stay in the test's range if that has no negative number."""

COLLECT = '''

def judged_tensors(value):
    """The tensors in a structure, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [tensor for item in items for tensor in judged_tensors(item)]


def judged_results(value, count, kept, changed):
    """What is compared: results that are no inputs, then inputs that were changed."""
    found = judged_tensors(value)
    if kept and len(found) != count:
        raise ValueError(f"the call returns {len(found)} tensors, not {count}")
    return tuple(found[position] for position in kept) + tuple(changed)
'''
LAY_OUT = '''

def judged_strides(tensor, strides):
    """The same values, laid out in memory as in the test."""
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype, device=tensor.device).copy_(tensor)
'''


class UnusableCallError(Exception):
    """A call cannot be posed anew; the message says why."""


class Given(Record):
    """One tensor among the arguments of a call."""

    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    """None: contiguous."""
    dtype: str
    low: float
    """Smallest and largest finite value; 0 where there is none."""
    high: float
    scale: float
    """Root mean square, two digits; 1 where that says nothing."""
    values: tuple[int, ...] | None
    """None: drawn anew."""
    mutated: bool = False


class Call(Record):
    """One call of the gold code."""

    expression: str
    """`softmax(given[0], dim=-1)`."""
    given: tuple[Given, ...]
    returned: int
    """Tensors in what the call returns."""
    kept: tuple[int, ...]
    """Which of them share no memory with an input."""
    seconds: float

    @property
    def mutates(self) -> tuple[int, ...]:
        return tuple(position for position, one in enumerate(self.given) if one.mutated)

    @property
    def elements(self) -> int:
        return sum(math.prod(one.shape) for one in self.given)

    @property
    def layout(self) -> tuple[object, ...]:
        """Equal for calls that differ in values only."""
        return self.expression, tuple((one.shape, one.strides, one.dtype, one.mutated) for one in self.given)

    @property
    def results(self) -> int:
        """Tensors that can be compared."""
        return len(self.kept) + len(self.mutates)


def expression(function: str, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[str, list[torch.Tensor]]:
    """A call with holes, and the tensors that belong into them.

    Raises:
        UnusableCallError: an argument is nothing that can be written down.
    """
    tensors: list[torch.Tensor] = []
    texts = [_text(value, tensors) for value in args]
    texts += [f"{name}={_text(value, tensors)}" for name, value in kwargs.items()]
    return f"{function}({', '.join(texts)})", tensors


def given(tensor: torch.Tensor) -> Given:
    """What is kept of a tensor.

    Raises:
        UnusableCallError: the sandbox has no such tensors.
    """
    if tensor.is_complex() or tensor.is_sparse or tensor.is_quantized or tensor.is_nested:
        raise UnusableCallError("a tensor is complex, sparse, quantized or nested")
    plain = tensor.detach()
    wide = plain.to("cpu", torch.float64).flatten()
    finite = wide[wide.isfinite()]
    low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 0.0)
    if not plain.is_floating_point():  # memory that nobody has set holds anything
        low, high = max(low, -(2.0**31)), min(high, 2.0**31)
    scale = float(finite.square().mean().sqrt()) if finite.numel() else 0.0
    dense = plain.is_contiguous() or 0 in plain.stride() or plain.numel() < 2
    return Given(
        shape=tuple(plain.shape),
        strides=None if dense else plain.stride(),
        dtype=str(plain.dtype).removeprefix("torch."),
        low=low,
        high=high,
        scale=float(f"{scale:.2g}") if 1e-6 < scale < 1e4 and low != high else 1.0,
        values=None if plain.is_floating_point() or plain.dtype == torch.bool else _places(wide),
    )


def adapter(calls: Sequence[Call]) -> str:
    """What is put below reference and candidates: `judged`."""
    lines = [COLLECT, f"\ndef {JUDGED}(call, *given):"]
    for number, call in enumerate(calls):
        changed = ", ".join(f"given[{position}]" for position in call.mutates)
        results = f"{call.expression}, {call.returned}, {list(call.kept)}, [{changed}]"
        lines.append(f"    if call == {number}:\n        return judged_results({results})")
    return "import torch\n" + "\n".join(lines) + "\n"


def make_inputs(calls: Sequence[Call], spread: Spread) -> str:
    """The function that draws the inputs of `judged`, as source."""
    lines = [LAY_OUT, "\ndef make_inputs(case, draw):"]
    for number, call in enumerate(calls):
        draws = "".join(f"            {_drawn(one, spread)},\n" for one in call.given)
        lines.append(f'    if case["call"] == {number}:\n        return (\n            {number},\n{draws}        )')
    return "\n".join(lines) + "\n"


def _text(value: Any, tensors: list[torch.Tensor]) -> str:
    """An argument as Python source."""
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return f"given[{len(tensors) - 1}]"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, torch.nn.Module):
        raise UnusableCallError("an argument is a module")
    if value is None or isinstance(value, bool | int | str | complex):
        return repr(value)
    if isinstance(value, torch.dtype | torch.memory_format):
        return str(value)
    if isinstance(value, torch.device):
        return f'torch.device("{value.type}")'
    if isinstance(value, list):
        return f"[{', '.join(_text(item, tensors) for item in value)}]"
    if isinstance(value, tuple):
        return f"({''.join(f'{_text(item, tensors)}, ' for item in value)})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_text(item, tensors)}' for key, item in value.items())}}}"
    raise UnusableCallError(f"an argument is a {type(value).__name__}")


def _places(values: torch.Tensor) -> tuple[int, ...] | None:
    """Integers that are to stay: sorted ones, those without repetition, and a single one (a length, a place)."""
    if not 0 < values.numel() <= MOST_VALUES:
        return None
    rising = bool((values.diff() >= 0).all())
    if not rising and len(set(values.tolist())) < values.numel():
        return None
    return tuple(int(value) for value in values.tolist())


def _drawn(one: Given, spread: Spread) -> str:
    """The expression that draws a tensor like `one`."""
    text = _contents(one, spread)
    return text if one.strides is None else f"judged_strides({text}, {one.strides})"


def _contents(one: Given, spread: Spread) -> str:
    sizes, name = "".join(f"{size}, " for size in one.shape), f'"{one.dtype}"'
    if one.values is not None:
        return f"torch.tensor({list(one.values)}, dtype=torch.{one.dtype}, device=draw.device).reshape({one.shape})"
    if one.dtype == "bool":
        return draw_text(Values(f"mask {min(0.9, max(0.1, one.scale**2)):.2g}"), one.shape, name)
    if one.low == one.high and (one.mutated or not one.dtype.startswith(("float", "bfloat"))):
        return f"torch.full({one.shape}, {one.low!r}, dtype=torch.{one.dtype}, device=draw.device)"
    if not one.dtype.startswith(("float", "bfloat")):
        return draw_text(Values(f"whole {int(one.low)} {int(one.high) + 1}"), one.shape, name)
    if spread == "signed" or one.low < 0:
        return f"draw.normal({sizes}dtype={name}, scale={1.0 if one.mutated else one.scale:g})"
    if one.low == one.high:
        return f"torch.full({one.shape}, {one.low!r}, dtype=torch.{one.dtype}, device=draw.device)"
    return draw_text(Values(f"uniform {one.low!r} {one.high!r}"), one.shape, name)
