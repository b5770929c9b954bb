"""Triton's private interfaces: `tl.reduce` and `tl.associative_scan` with a kernel's own functions, interpreted.

Triton's interpreter applies the function from first to last, so that it computes recurrences that are none. A GPU joins
partial results: a scan's function must be associative, a reduction's commutative too (warps exchange distant halves).
So partial results are joined here as well; a function that is neither comes out wrong, as it should, and in more than
one way (`open_answers`). And where a kernel leaves it open which of several extrema is meant (`tie_break_left=False`),
any of them is; among NaN it depends on how they are joined.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime.interpreter import ReduceOps, ScanOps, TensorHandle

from sandbox.interpreting.open_answers import ANSWER
from sandbox.triton_private.floats import NARROW

Tensors = tuple[Any, ...]
_BEST = ("min", "max")
AS_BITS = {*NARROW, tl.int1}
"""Types of which Triton's interpreter sums the bits, as integers."""


def mend_reductions() -> None:
    """For good, in this process. An axis may be counted from the last one too, as in compiled kernels."""
    reduce, scan = _at_once(ReduceOps.generic_reduce), _at_once(ScanOps.generic_scan)
    apply, apply_scan, min_max = ReduceOps.apply_impl, ScanOps.apply_impl, ReduceOps.min_max
    standard: Any = tl.standard  # names of Triton's own
    places = {getattr(standard, f"_arg{best}_combine_tie_break_{tie}") for best in _BEST for tie in ("left", "fast")}

    def apply_impl(self: Any, given: Tensors) -> Any:
        floating = self.combine_fn in places and given[0].dtype.is_floating()
        if given[0].dtype.scalar in AS_BITS or (floating and bool(np.isnan(given[0].handle.data).any())):
            return generic_reduce(ReduceOps(self.axis, _Called(self.combine_fn), self.keep_dims), given)
        for function, best in (
            (standard._argmin_combine_tie_break_fast, np.nanmin), (standard._argmax_combine_tie_break_fast, np.nanmax),
        ):  # fmt: skip
            if self.combine_fn is function:
                return self.min_max(given[0], val_reduce_op=best, idx_reduce_op=_any_place_of(best))
        return apply(self, given)

    def generic_reduce(self: Any, given: Tensors) -> list[Any]:
        """Elements at odd places, then those at even ones, then both results."""
        given, axis = self.unravel(given, self.axis)
        axis %= len(given[0].shape)
        last = ReduceOps(None if self.axis is None else axis, self.combine_fn, self.keep_dims)
        if given[0].shape[axis] <= 2:
            return list(reduce(last, given))
        part = ReduceOps(axis, self.combine_fn, True)
        odd, even = (reduce(part, _sliced(self, given, axis, slice(first, None, 2))) for first in (1, 0))
        forth, back = (_sliced(self, given, axis, slice(None, None, step)) for step in (1, -1))
        whole = _joined(self, odd, even, axis)
        return _either_way(reduce(last, whole), lambda: reduce(last, forth), lambda: reduce(last, back))

    def generic_scan(self: Any, given: Tensors) -> list[Any]:
        """The first half, the second half, and what the first comes to before each element of the second."""
        axis = self.axis % len(given[0].shape)
        size, ordered = given[0].shape[axis], ScanOps(axis, self.combine_fn, False)
        if size <= 2:
            return list(scan(ordered, given))
        first, second = (
            scan(ordered, _sliced(self, given, axis, half)) for half in (slice(None, size // 2), slice(size // 2, None))
        )
        last = _sliced(self, first, axis, slice(-1, None))
        pairs = tuple(
            self.to_tensor(np.stack(np.broadcast_arrays(a.handle.data, b.handle.data), axis=-1), b.dtype)
            for a, b in zip(last, second, strict=True)
        )
        after = scan(ScanOps(len(given[0].shape), self.combine_fn, False), pairs)
        whole = _joined(self, first, [self.to_tensor(x.handle.data[..., 1], x.dtype) for x in after], axis)
        return _either_way(whole, lambda: scan(ordered, given), lambda: scan(ordered, given))

    def apply_scan_impl(self: Any, given: Tensors) -> Any:
        as_bits = given[0].dtype.scalar in AS_BITS
        return apply_scan(ScanOps(self.axis, _Called(self.combine_fn), self.reverse) if as_bits else self, given)

    def signed_min_max(self: Any, given: Any, *best: Any, **named: Any) -> Any:
        found = min_max(self, given, *best, **named)
        return _with_signs(self, given[0] if isinstance(given, tuple) else given, found)

    ReduceOps.generic_reduce, ScanOps.generic_scan = generic_reduce, generic_scan
    ReduceOps.apply_impl, ScanOps.apply_impl = apply_impl, apply_scan_impl
    ReduceOps.min_max, ReduceOps.sum = signed_min_max, _summing(ReduceOps.sum)


def _at_once(one_by_one: Any) -> Any:
    """A reduction or scan, from first to last, that applies its function to all places beside the axis at once, not to
    one after the other: an eighth of the time for the variance of 300 columns. To the function they are one number, as
    in compiled kernels; one with branches takes them place by place.
    """

    def ordered(self: Any, given: Tensors) -> list[Any]:
        data = [tensor.handle.data for tensor in given]
        if self.axis is None or data[0].ndim < 2:
            return list(one_by_one(self, given))
        try:
            with _only_numbers_decide():
                found = _running(self, [np.moveaxis(x, self.axis, 0) for x in data], [x.dtype for x in given])
        except Exception:  # whatever goes wrong goes wrong again, where it is told of the kernel
            return list(one_by_one(self, given))
        if isinstance(self, ScanOps):
            results = [np.moveaxis(np.stack(column), 0, self.axis) for column in zip(*found, strict=True)]
        else:
            results = [np.expand_dims(x, self.axis) if self.keep_dims else x for x in found[-1]]
        return [self.to_tensor(np.ascontiguousarray(x), y.dtype) for x, y in zip(results, given, strict=True)]

    return ordered


def _running(operation: Any, rows: list[Any], dtypes: list[Any]) -> list[Any]:
    """What the elements come to after each of the first axis."""
    found: list[Any] = [[row[0] for row in rows]]
    for place in range(1, len(rows[0])):
        pairs = zip([*found[-1], *(row[place] for row in rows)], [*dtypes, *dtypes], strict=True)
        numbers = [tl.tensor(TensorHandle(np.ascontiguousarray(x), dtype.scalar), dtype.scalar) for x, dtype in pairs]
        made = operation.combine_fn.fn(*numbers)
        parts = made if isinstance(made, tuple) else (made,)
        values = [x.handle.data if isinstance(x, tl.tensor) else x for x in parts]
        found.append([np.broadcast_to(x, row[0].shape).astype(row.dtype) for x, row in zip(values, rows, strict=True)])
    return found


@contextmanager
def _only_numbers_decide() -> Iterator[None]:
    """Triton's interpreter takes a tensor of several elements for true."""
    usual = tl.tensor.__bool__

    def truth(self: Any) -> bool:
        if self.handle.data.size > 1:
            raise ValueError("the elements may differ")
        return bool(usual(self))

    tl.tensor.__bool__ = truth
    try:
        yield
    finally:
        tl.tensor.__bool__ = usual


def _summing(whole: Any) -> Any:
    """Of float16 a GPU adds in float16; NumPy rounds once."""

    def total(self: Any, given: Any) -> Any:
        if given.dtype.scalar != tl.float16:
            return whole(self, given)
        data = given.handle.data
        rest = data.ravel() if self.axis is None else np.moveaxis(data, self.axis, 0)
        with np.errstate(over="ignore", invalid="ignore"):
            while len(rest) > 1:
                rest = rest[: len(rest) // 2] + rest[len(rest) // 2 :]
        kept = rest.reshape([1] * data.ndim) if self.axis is None else np.moveaxis(rest, 0, self.axis)
        return self.to_tensor(kept if self.keep_dims else rest[0], tl.float16)

    return total


def _either_way(joined: Any, forth: Any, back: Any) -> list[Any]:
    """Results that depend on how elements are joined are of any of these ways."""
    ordered = forth()
    pairs = zip(joined, ordered, strict=True)
    if all(one.handle.data.tobytes() == other.handle.data.tobytes() for one, other in pairs):
        return list(joined)
    return list(ANSWER.among(joined, ordered, back()))


def _with_signs(operation: Any, given: Any, found: Any) -> Any:
    """Of zeros, -0 is the least and 0 the largest; NumPy takes any of them. Where a place is told, its sign counts."""
    data, axis = given.handle.data, operation.axis
    value = found[0] if isinstance(found, tuple) else found
    if data.dtype.kind != "f" or not bool((value.handle.data == 0).any()):
        return found
    if isinstance(found, tuple):
        place = found[1].handle.data.reshape(np.argmax(data, axis=axis, keepdims=True).shape)
        whole = data.ravel() if axis is None else data
        own = np.take_along_axis(whole, place.ravel() if axis is None else place, axis=axis or 0)
        value.handle.data = own.reshape(value.handle.data.shape)
        return found
    largest = operation.combine_fn is tl.standard._elementwise_max
    signs = np.where(data == 0, np.copysign(1, data), -1 if largest else 1)
    sign = (np.max if largest else np.min)(signs, axis=axis, keepdims=True).reshape(value.handle.data.shape)
    zero = np.copysign(value.handle.data, sign)
    value.handle.data = np.where(value.handle.data == 0, zero, value.handle.data)
    return found


class _Called:
    """A combine function of Triton's own, called as kernels call it."""

    def __init__(self, function: Any) -> None:
        self.fn = function


def _any_place_of(best: Any) -> Any:
    def place(data: Any, axis: Any, keepdims: bool) -> Any:
        ties = data == best(data, axis=axis, keepdims=True)
        size = ties.size if axis is None else ties.shape[axis]
        liked = ANSWER.order(size)[::-1] + 1
        liked = liked if axis is None else np.expand_dims(liked, [n for n in range(ties.ndim) if n != axis % ties.ndim])
        return np.argmax((ties.ravel() if axis is None else ties) * liked, axis=axis, keepdims=keepdims)

    return place


def _sliced(operation: Any, tensors: Any, axis: int, part: slice) -> Tensors:
    at = (*[slice(None)] * axis, part)
    return tuple(operation.to_tensor(np.ascontiguousarray(t.handle.data[at]), t.dtype) for t in tensors)


def _joined(operation: Any, one: Any, other: Any, axis: int) -> Tensors:
    pairs = zip(one, other, strict=True)
    return tuple(operation.to_tensor(np.concatenate([a.handle.data, b.handle.data], axis), a.dtype) for a, b in pairs)
