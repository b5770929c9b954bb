"""Triton's private interfaces: hints that are not true, interpreted.

`tl.multiple_of`, `tl.max_contiguous` and `tl.max_constancy` are promises. The compiler makes one access of up to 16
bytes of several lanes that are said to be neighbours, at the address of the first and by the mask of the first;
Triton's interpreter looks at none of them. Here false ones are refused. But a false `max_contiguous` does no harm where
lanes lie further apart in memory, or where the first of them is not aligned: kernels say so of rows that they wrap. Nor
where lanes load what is not used; what they find is open (`memory_watch`).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import triton.language as tl

from sandbox.triton_private.values import value_of

Array = npt.NDArray[Any]
WIDEST = 16
"""Bytes of an access: how pointers are aligned beyond that matters to nobody."""
MAX_FALSE = 4096


class HintError(Exception):
    """A kernel promises to the compiler what is not so."""


class Hints:
    """Lines of lanes, of one launch, that were said to be contiguous and are not."""

    def __init__(self) -> None:
        self.false: dict[int, dict[bytes, int]] = {}
        """By length, and by distances from the first lane: how many lanes each were said to be neighbours."""

    def contiguous(self, values: Array, axis: int, size: int, step: int) -> None:
        """Raises:
        HintError: there are more false ones than anybody needs.
        """
        lines = _lines(values, axis)
        for line in lines[_apart(lines, size, step).any(1)]:
            known = self.false.setdefault(lines.shape[1], {})
            known[_distances(line, step)] = size
            if len(known) > MAX_FALSE:
                raise HintError("tl.max_contiguous is told of lanes that are not contiguous")

    def accessed(self, pointers: Array, lanes: Array, step: int) -> Array | None:
        """Where a GPU may access elements of `step` bytes instead, in each of the active `lanes` (booleans): several
        that are said to be neighbours are one access. None: where the pointers say.
        """
        instead = None
        for axis, length in enumerate(pointers.shape if self.false else ()):
            if length in self.false:
                along = self._along(_lines(pointers, axis), _lines(lanes, axis) != 0, step, self.false[length])
                if along is not None:
                    shape = np.moveaxis(pointers, axis, -1).shape
                    here = np.moveaxis(along.reshape(shape), -1, axis).astype(pointers.dtype)
                    instead = here if instead is None else np.where(here == pointers, instead, here)
        return instead

    def _along(self, lines: Array, active: Array, step: int, false: dict[bytes, int]) -> Array | None:
        told = np.array([false.get(_distances(line, step), 1) for line in lines])
        size, found = 2, None
        while size * step <= WIDEST and size <= told.max():
            aligned = not bool((_firsts(lines, size) % (size * step) * active).any())
            apart = _apart(lines, size, step) & active & (told >= size)[:, None]
            if aligned and bool(apart.any()):
                neighbours = _firsts(lines, size) + np.arange(lines.shape[1]) % size * step
                found = np.where(apart, neighbours, lines if found is None else found)
            size *= 2
        return found


HINTS = Hints()
"""A process interprets one launch at a time."""


def mend_hints(language: Any, scope: Any) -> None:
    """Look at what kernels say to `language`, as long as `scope` lasts."""
    for name, look in (("multiple_of", _divided), ("max_contiguous", _contiguous), ("max_constancy", _constant)):
        scope.set_attr(language, name, _looking(getattr(language, name), look))


def _looking(hint: Any, look: Any) -> Any:
    def call(input: Any, values: Any, **named: Any) -> Any:  # `input` is Triton's own word
        given = hint(input, values, **named)
        if isinstance(given, tl.tensor):
            sizes = values if isinstance(values, list | tuple | tl.tuple) else [values]
            for axis, size in enumerate(map(value_of, sizes)):
                if size > 1:
                    look(np.asarray(given.handle.data), axis, size, given.dtype)
        return given

    return call


def _divided(values: Array, axis: int, size: int, dtype: Any) -> None:
    """Of lanes that follow one another the first one counts.

    Raises:
        HintError: it is no multiple.
    """
    lines = _lines(values, axis)
    begins = np.ones(lines.shape, bool)
    begins[:, 1:] = np.diff(lines, axis=1) != _step(dtype)
    if bool((begins & (lines % (min(size, WIDEST) if dtype.is_ptr() else size) != 0)).any()):
        raise HintError(f"tl.multiple_of is told {size} of what is no multiple of it: a GPU's access is misaligned")


def _contiguous(values: Array, axis: int, size: int, dtype: Any) -> None:
    HINTS.contiguous(values, axis, size, _step(dtype))


def _constant(values: Array, axis: int, size: int, dtype: Any) -> None:
    """Raises:
    HintError: lanes differ that are said to be alike.
    """
    lines = _lines(values, axis)
    if bool((lines != _firsts(lines, size)).any()):
        raise HintError("tl.max_constancy is told of lanes that differ: a GPU takes the first one for all")


def _step(dtype: Any) -> int:
    """From one to the next, in a tensor's own numbers: addresses are bytes."""
    return max(1, dtype.element_ty.primitive_bitwidth // 8) if dtype.is_ptr() else 1


def _lines(values: Array, axis: int) -> Array:
    """Along an axis, as signed integers."""
    wide = np.asarray(values).astype(np.int64) if values.dtype.kind != "f" else np.asarray(values)
    return np.moveaxis(wide, axis, -1).reshape(-1, wide.shape[axis]) if wide.ndim else wide.reshape(1, 1)


def _firsts(lines: Array, size: int) -> Array:
    """For each lane, the first one of its group."""
    place = np.arange(lines.shape[1])
    return lines[:, place - place % size]


def _apart(lines: Array, size: int, step: int) -> Array:
    """Lanes that are not where they would be, were those of each group neighbours."""
    apart: Array = lines - _firsts(lines, size) != np.arange(lines.shape[1]) % size * step
    return apart


def _distances(line: Array, step: int) -> bytes:
    steps: Array = (line - line[0]) // step
    return steps.tobytes()
