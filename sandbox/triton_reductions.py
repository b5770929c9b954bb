"""Triton's private interfaces: `tl.reduce` and `tl.associative_scan` with a kernel's own functions, interpreted.

Triton's interpreter applies the function from first to last, so that it computes recurrences that are none. A GPU joins
partial results: a scan's function must be associative, a reduction's commutative too (warps exchange distant halves).
So partial results are joined here as well; a function that is neither comes out wrong, as it should. And where a kernel
leaves it open which of several extrema is meant (`tie_break_left=False`), any of them is; among NaN it depends on how
they are joined.
"""

from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime.interpreter import ReduceOps, ScanOps

Tensors = tuple[Any, ...]
_BEST = ("min", "max")


def mend_reductions() -> None:
    """For good, in this process. An axis may be counted from the last one too, as in compiled kernels."""
    reduce, scan, apply = ReduceOps.generic_reduce, ScanOps.generic_scan, ReduceOps.apply_impl
    standard: Any = tl.standard  # names of Triton's own
    places = {getattr(standard, f"_arg{best}_combine_tie_break_{tie}") for best in _BEST for tie in ("left", "fast")}

    def apply_impl(self: Any, given: Tensors) -> Any:
        if self.combine_fn in places and given[0].dtype.is_floating() and bool(np.isnan(given[0].handle.data).any()):
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
        whole = given
        if given[0].shape[axis] > 2:
            part = ReduceOps(axis, self.combine_fn, True)
            odd, even = (reduce(part, _sliced(self, given, axis, slice(first, None, 2))) for first in (1, 0))
            whole = _joined(self, odd, even, axis)
        found: list[Any] = reduce(
            ReduceOps(None if self.axis is None else axis, self.combine_fn, self.keep_dims), whole
        )
        return found

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
        return list(_joined(self, first, [self.to_tensor(x.handle.data[..., 1], x.dtype) for x in after], axis))

    ReduceOps.generic_reduce, ScanOps.generic_scan = generic_reduce, generic_scan
    ReduceOps.apply_impl = apply_impl


class _Called:
    """A combine function of Triton's own, called as kernels call it."""

    def __init__(self, function: Any) -> None:
        self.fn = function


def _any_place_of(best: Any) -> Any:
    def place(data: Any, axis: Any, keepdims: bool) -> Any:
        ties = data == best(data, axis=axis, keepdims=True)
        return np.argmax(ties * (1 + np.random.default_rng().random(data.shape)), axis=axis, keepdims=keepdims)

    return place


def _sliced(operation: Any, tensors: Any, axis: int, part: slice) -> Tensors:
    at = (*[slice(None)] * axis, part)
    return tuple(operation.to_tensor(np.ascontiguousarray(t.handle.data[at]), t.dtype) for t in tensors)


def _joined(operation: Any, one: Any, other: Any, axis: int) -> Tensors:
    pairs = zip(one, other, strict=True)
    return tuple(operation.to_tensor(np.concatenate([a.handle.data, b.handle.data], axis), a.dtype) for a, b in pairs)
