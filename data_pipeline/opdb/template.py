"""One OpInfo sample → the shapes that its call accepts: which sizes are free, which must agree, which are fixed.

Nothing is known of the operator; its own argument checks are asked. A size is changed alone and with others that have
the same value, and the smallest set that the operator accepts belongs together. In `x (5, 5) @ y (5, 5)`, the middle
sizes are found to be one, the outer ones to be free. Bounds of indices are found in the same way.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch

Dim = str | int
Shape = tuple[int, ...]
Place = tuple[int, int]
"""Tensor and axis."""
REFUSALS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError, NotImplementedError, ArithmeticError)
"""What operators raise on arguments that do not fit."""
STEP = 12
"""Added to a size to try it: sizes that must be even, or a multiple of 3 or 4, stay so."""
MOST_TRIALS = 130
UNBOUNDED = 10**6
AXES = {1: "n", 2: "mn", 3: "bmn", 4: "nchw", 5: "ncdhw"}
MORE = "kpqrstuvij"


class Hole(NamedTuple):
    """Stands for a tensor in the arguments of a call."""

    number: int


class Trailing(NamedTuple):
    """Stands for the last `axes` sizes of the first tensor: what `normalized_shape` is."""

    axes: int


class Call(NamedTuple):
    """Arguments in which each tensor is a `Hole`."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def run(self, tensors: Sequence[torch.Tensor]) -> Any:
        args, kwargs = fill((self.args, self.kwargs), tensors)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return self.function(*args, **kwargs)


class Template(NamedTuple):
    """A call with symbolic shapes."""

    call: Call
    shapes: tuple[tuple[Dim, ...], ...]
    """Of each tensor."""
    dtypes: tuple[torch.dtype, ...]
    """Of each tensor in the sample."""
    bounds: tuple[tuple[Dim, ...] | None, ...]
    """For a tensor of indices the factors of its exclusive upper bound, else None."""
    sizes: dict[str, int]
    """What the symbols are in the sample."""

    def fits(self, sizes: Mapping[str, int]) -> list[torch.Tensor] | None:
        """The outputs of the call with these sizes, None if the operator refuses them."""
        return _outputs(self.call, [concrete(shape, sizes) for shape in self.shapes], self.dtypes)


def concrete(shape: Sequence[Dim], sizes: Mapping[str, int]) -> Shape:
    return tuple(sizes[dim] if isinstance(dim, str) else dim for dim in shape)


def fill(value: Any, tensors: Sequence[torch.Tensor]) -> Any:
    """A structure with tensors in the place of its holes."""
    if isinstance(value, Hole):
        return tensors[value.number]
    if isinstance(value, Trailing):
        return tuple(tensors[0].shape[-value.axes :])
    if isinstance(value, list | tuple):
        return type(value)(fill(item, tensors) for item in value)
    if isinstance(value, dict):
        return {key: fill(item, tensors) for key, item in value.items()}
    return value


def leaves(output: Any) -> list[torch.Tensor] | None:
    """Tensors of a tensor or a sequence of tensors, None if there is anything else."""
    if isinstance(output, torch.Tensor):
        return [output]
    if not isinstance(output, tuple | list) or not output:
        return None
    found = [leaves(item) for item in output]
    return None if None in found else [leaf for part in found for leaf in part or ()]


def generalise(call: Call, tensors: Sequence[torch.Tensor], fixed: Collection[Place] = ()) -> Template | None:
    """The template of a sample, None if the call does not even run with constant inputs.

    Args:
        fixed: places that keep the sample's size.
    """
    shapes, dtypes = [tuple(t.shape) for t in tensors], tuple(t.dtype for t in tensors)
    if _outputs(call, shapes, dtypes) is None:
        return None
    symbols = _named(_groups(call, shapes, dtypes, fixed), shapes)
    symbolic = tuple(
        tuple(symbols.get((number, axis), size) for axis, size in enumerate(shape))
        for number, shape in enumerate(shapes)
    )
    sizes = {name: shapes[number][axis] for (number, axis), name in symbols.items()}
    template = Template(call, symbolic, dtypes, (None,) * len(shapes), sizes)
    apart = _apart(sizes)
    if template.fits(apart) is None:
        apart = sizes
    bounds = tuple(_bound(template, number, apart) for number in range(len(shapes)))
    return template._replace(bounds=bounds)


def _outputs(
    call: Call, shapes: Sequence[Shape], dtypes: Sequence[torch.dtype], fills: Mapping[int, int] | None = None
) -> list[torch.Tensor] | None:
    """Ones everywhere: valid as a probability, a divisor, a mask and, as sizes are 2 or more, an index."""
    values = fills or {}
    inputs = [
        torch.full(shape, values.get(i, 1), dtype=dtype)
        for i, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True))
    ]
    try:
        found = leaves(call.run(inputs))
    except REFUSALS:
        return None
    return None if found is None or any(t.numel() == 0 for t in found) else found


def _apart(sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes a little larger, no two alike: so that a bound can be told from the others."""
    found: dict[str, int] = {}
    for name, size in sizes.items():
        found[name] = next(n for n in itertools.count(size + 1) if n not in found.values())
    return found


def _groups(
    call: Call, shapes: Sequence[Shape], dtypes: Sequence[torch.dtype], fixed: Collection[Place]
) -> list[set[Place]]:
    """Places whose sizes change together; places in no group cannot change."""
    places = [(number, axis) for number, shape in enumerate(shapes) for axis in range(len(shape))]
    places = [place for place in places if place not in fixed]
    groups: list[set[Place]] = []
    for place in places:
        found = _smallest(call, shapes, dtypes, place, places)
        if found is not None:
            touching = [group for group in groups if group & found]
            groups = [group for group in groups if not group & found] + [found.union(*touching)]
    return groups


def _smallest(
    call: Call, shapes: Sequence[Shape], dtypes: Sequence[torch.dtype], place: Place, places: Sequence[Place]
) -> set[Place] | None:
    size = shapes[place[0]][place[1]]
    others = [other for other in places if other != place and shapes[other[0]][other[1]] == size]
    sets = itertools.chain.from_iterable(itertools.combinations(others, count) for count in range(len(others) + 1))
    for more in itertools.islice(sets, MOST_TRIALS):
        chosen = {place, *more}
        changed = [
            tuple(n + STEP * ((number, axis) in chosen) for axis, n in enumerate(shape))
            for number, shape in enumerate(shapes)
        ]
        if _outputs(call, changed, dtypes) is not None:
            return chosen
    return None


def _named(groups: list[set[Place]], shapes: Sequence[Shape]) -> dict[Place, str]:
    """The axes of the first tensor of largest rank get the usual names."""
    ranks = [len(shape) for shape in shapes]
    main = ranks.index(max(ranks))
    usual = AXES[ranks[main]]
    names: dict[Place, str] = {}
    rest = iter(letter for letter in MORE if letter not in usual)
    for group in sorted(groups, key=lambda group: (min(number != main for number, _ in group), min(group))):
        axes = sorted(axis for number, axis in group if number == main)
        number, axis = min(group)
        aligned = usual[axis - len(shapes[number])]  # as broadcasting does, where the first tensor has a 1
        name = usual[axes[0]] if axes else aligned if aligned not in names.values() else next(rest)
        names |= dict.fromkeys(group, name)
    return names


def _bound(template: Template, number: int, sizes: Mapping[str, int]) -> tuple[Dim, ...] | None:
    """The exclusive upper bound of an integer tensor as a product of sizes, None if any value will do."""
    if template.dtypes[number] not in (torch.int64, torch.int32):
        return None
    shapes = [concrete(shape, sizes) for shape in template.shapes]
    low, high = 1, UNBOUNDED
    if _outputs(template.call, shapes, template.dtypes, {number: high}) is not None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        accepted = _outputs(template.call, shapes, template.dtypes, {number: middle}) is not None
        low, high = (middle, high) if accepted else (low, middle)
    for name, size in sizes.items():
        if size == high:
            return (name,)
    first = template.shapes[0]
    return first if math.prod(concrete(first, sizes)) == high else (high,)
