"""OpInfo → the distinct programs among its samples: a call, symbolic shapes, and what its inputs hold."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from data_pipeline.opdb.render import SWAPPED, Text, holes, parameters, public, simplified, write
from data_pipeline.opdb.tables import PERMUTED, UNCHECKED, WRAPPING, excluded, family, key, listed, wanted
from data_pipeline.opdb.template import AXES, REFUSALS, Call, Hole, Template, Trailing, generalise, leaves
from data_pipeline.opdb.values import Values, of_range

MOST = 8
"""Programs of one operator: a pooling has over a thousand samples that differ in a flag."""
MOST_SHAPES = 3
"""Programs that are one call on tensors of different ranks, or that broadcast differently."""
DIGITS = 3
"""Significant digits of numbers in a reference; OpInfo's are random."""
OUTPUTS = frozenset([torch.float32, torch.int64, torch.int32, torch.bool])
"""What a program may return for the sample's dtype; nothing asks for a float64 or complex result."""
MAIN = (torch.float32, torch.int64, torch.bool)


class Program(NamedTuple):
    name: str
    """OpInfo's name and variant."""
    family: str
    template: Template
    text: Text
    values: tuple[Values, ...]
    """Of each tensor."""
    dtype: torch.dtype
    """Of the sample; tensors of this dtype take the case's."""


def programs(op: Any) -> list[Program]:
    """The distinct programs of an OpInfo, at most `MOST`, spread over its samples."""
    dtype = next(dtype for dtype in MAIN if dtype in op.dtypes)
    samples = _samples(op, dtype)
    ranges = _ranges(samples)
    name = key(op.name, op.variant_test_name)
    found: dict[tuple[str, str], tuple[Call, list[torch.Tensor], Text]] = {}
    shapes: Counter[str] = Counter()
    for sample in samples:
        call, tensors = _taken_apart(op, sample)
        written = _written(op, sample, call, tensors) if _fit(tensors, dtype) else None
        if written is None:
            continue
        kind = _kind(written[1], tensors)
        if kind not in found and shapes[kind[0]] < MOST_SHAPES:
            shapes[kind[0]] += 1
            found[kind] = (written[0], tensors, written[1])
    chosen = list(found.values())
    if len(chosen) > MOST:
        chosen = [chosen[i * len(chosen) // MOST] for i in range(MOST)]
    made = (_program(name, call, tensors, text, ranges, dtype) for call, tensors, text in chosen)
    return [program for program in made if program is not None]


def _program(
    name: str, call: Call, tensors: Sequence[torch.Tensor], text: Text, ranges: dict[Any, tuple[float, float]],
    dtype: torch.dtype,
) -> Program | None:  # fmt: skip
    window = name.startswith("nn.functional.conv")  # whose size is a number in most kernels
    fixed = [(number, axis) for number, t in enumerate(tensors) if window and number for axis in range(2, t.dim())]
    template = generalise(call, tensors, fixed)
    if template is None or not template.sizes:
        return None
    template = _tied(name, template)
    outputs = template.fits(template.sizes)
    if outputs is None or not all(out.dtype in OUTPUTS for out in outputs):
        return None
    positions = dtype.is_floating_point and any(out.dtype == torch.int64 for out in outputs)
    values = tuple(_values(name, template, i, text.inputs[i], ranges, positions) for i in range(len(tensors)))
    broadcast = len(set(template.shapes)) > 1
    return Program(name, family(name, broadcast), template, text, values, dtype)


def _tied(name: str, template: Template) -> Template:
    """With the sizes made one that the operator should have found to differ."""
    if name not in UNCHECKED:
        return template
    (first, axis), (second, other) = UNCHECKED[name]
    kept, gone = template.shapes[first][axis], template.shapes[second][other]
    shapes = tuple(tuple(kept if dim == gone else dim for dim in shape) for shape in template.shapes)
    return template._replace(
        shapes=shapes, sizes={n: size for n, size in template.sizes.items() if n != gone or n == kept}
    )


def _values(
    name: str, template: Template, number: int, parameter: str, ranges: dict[Any, tuple[float, float]], positions: bool
) -> Values:
    """`positions`: the result says where something is, so that equal values would leave it open."""
    dtype, bound = template.dtypes[number], template.bounds[number]
    if name in WRAPPING and dtype == torch.int64:
        dim = template.call.kwargs.get("dim")
        bound = template.shapes[0] if dim is None else (template.shapes[0][dim],)
    kind = wanted(name, parameter)
    if kind is not None:
        return Values(kind)
    if dtype == torch.bool:
        return Values("mask 0.5")
    if bound is not None:
        axis = next((value for value in template.call.args if isinstance(value, int)), 0)
        return Values("permuted" if listed(name, PERMUTED) else "index", bound, axis)
    if positions and dtype.is_floating_point and template.shapes[number]:
        return Values("distinct")
    low, high = ranges.get(parameter_place(template.call, number), (-9.0, 9.0))
    return Values(of_range(low, high, not dtype.is_floating_point))


def parameter_place(call: Call, number: int) -> int | str:
    """Where a tensor stands in the call: samples are compared by it."""
    places: list[tuple[int | str, Any]] = [*enumerate(call.args), *call.kwargs.items()]
    return next(place for place, value in places if number in holes(value))


def _samples(op: Any, dtype: torch.dtype) -> list[Any]:
    """The same every time: OpInfo draws from the global generators. `sample_inputs` would ask the stack each time whose
    test this is, which takes as long as all the rest.
    """
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)
            return list(op.sample_inputs_func(op, "cpu", dtype, False))
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


def _ranges(samples: Sequence[Any]) -> dict[Any, tuple[float, float]]:
    """Smallest and largest value of each argument over all samples."""
    found: dict[Any, tuple[float, float]] = {}
    for sample in samples:
        for place, value in [*enumerate((sample.input, *sample.args)), *sample.kwargs.items()]:
            for tensor in _tensors(value):
                if tensor.numel() and not tensor.is_complex() and tensor.dtype != torch.bool:
                    low, high = found.get(place, (float("inf"), float("-inf")))
                    finite = tensor.nan_to_num(0.0, 0.0, 0.0) if tensor.is_floating_point() else tensor
                    found[place] = min(low, float(finite.min())), max(high, float(finite.max()))
    return found


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _taken_apart(op: Any, sample: Any) -> tuple[Call, list[torch.Tensor]]:
    """The call with holes for tensors, its numbers rounded, float64 replaced by float32."""
    tensors: list[torch.Tensor] = []

    def hollow(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            tensors.append(value)
            return Hole(len(tensors) - 1)
        if isinstance(value, torch.Size):
            return tuple(value)
        if isinstance(value, list | tuple):
            return type(value)(hollow(item) for item in value)
        if isinstance(value, float):
            return float(f"{value:.{DIGITS}g}")
        return torch.float32 if value is torch.float64 else value

    given = [sample.input, *sample.args]
    if op.name in SWAPPED:
        given[:2] = given[1::-1]
    args = [hollow(value) for value in given]
    kwargs = {name: hollow(value) for name, value in sample.kwargs.items()}
    if op.name in ("nn.functional.layer_norm", "nn.functional.rms_norm"):
        args[1] = Trailing(len(args[1]))
    found = public(op.name)
    return Call(op.op if found is None else found[1], tuple(args), kwargs), tensors


def _fit(tensors: Sequence[torch.Tensor], dtype: torch.dtype) -> bool:
    """Whether there is something to compute on: no scalars alone, nothing empty, nothing complex."""
    return (
        bool(tensors)
        and max(t.dim() for t in tensors) <= len(AXES)
        and all(t.dim() and t.numel() and not t.is_complex() and not t.is_sparse for t in tensors)
        and any(t.dtype == dtype for t in tensors)
    )


def _written(op: Any, sample: Any, call: Call, tensors: Sequence[torch.Tensor]) -> tuple[Call, Text] | None:
    """The call as it is written, if it computes what OpInfo's own function computes."""
    known = parameters(op.name, call.function, call.args, call.kwargs)
    short = simplified(call, known)
    text = write(op.name, short, known)
    if text is None or excluded(key(op.name, op.variant_test_name), text.expression):
        return None
    if _agrees(op, short, sample, tensors):
        return short, text
    text = write(op.name, call, known)  # keywords are not always those of the schema
    return (call, text) if text is not None and _agrees(op, call, sample, tensors) else None


def _agrees(op: Any, call: Call, sample: Any, tensors: Sequence[torch.Tensor]) -> bool:
    """And leaves its inputs alone, and does something. With rounded numbers a result may differ a little."""
    inputs = [t.detach().clone() for t in tensors]
    try:
        mine = leaves(call.run(inputs))
        untouched = all(torch.equal(a, b) for a, b in zip(inputs, tensors, strict=True))
        theirs = leaves(op.op(sample.input, *sample.args, **sample.kwargs))
    except REFUSALS:
        return False
    return (
        mine is not None
        and theirs is not None
        and untouched
        and not (len(mine) == 1 and torch.equal(mine[0], tensors[0]) and _identity(call, tensors))
        and [t.shape for t in mine] == [t.shape for t in theirs]
        and all(
            torch.allclose(a.double(), b.double(), 0.05, 0.05, equal_nan=True)
            for a, b in zip(mine, theirs, strict=True)
        )
    )


def _identity(call: Call, tensors: Sequence[torch.Tensor]) -> bool:
    """Whether small values come out as they went in, too: a roll by 0, a concatenation of one."""
    small = [torch.linspace(-1, 1, t.numel()).reshape(t.shape) if t.is_floating_point() else t for t in tensors]
    return torch.equal((leaves(call.run(small)) or small)[0], small[0])


def _kind(text: Text, tensors: Sequence[torch.Tensor]) -> tuple[str, str]:
    """The same for samples that are one program: random numbers do not count, nor the rank if all shapes are equal and
    no axis is named."""
    expression = re.sub(r"-?\d+\.\d*[1-9]\d*(e-?\d+)?", "#", text.expression)
    rank = tensors[0].dim()
    expression = re.sub(r"dim=-(\d+)", lambda found: f"dim={rank - int(found[1])}", expression)
    shapes = [tuple(t.shape) for t in tensors]
    if len(set(shapes)) == 1 and not re.search(r"\d", expression):
        return expression, ""
    return expression, str([tuple(n == 1 for n in shape) for shape in shapes])
