"""Addresses that a kernel touches, as positions in the memory that a launch may use."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class MemoryFaultError(Exception):
    """A kernel touches memory in a way that a GPU would not forgive."""


def positions(pointers: Array, itemsize: int, buffers: tuple[Array, Array], base: int, verb: str) -> Array:
    """Of elements of `itemsize` bytes at `pointers`, relative to `base`. int64, one a pointer.

    Args:
        buffers: first and last-plus-one address of each, in order. uint64.
        verb: what the kernel does, for the error.

    Raises:
        MemoryFaultError: one is outside the buffers, or not where its type may lie.
    """
    starts, ends = buffers
    active = pointers.astype(np.uint64)
    slot = np.searchsorted(starts, active, side="right").astype(np.int64) - 1
    inside = slot >= 0
    if len(ends):
        inside &= active + np.uint64(itemsize) <= ends[np.maximum(slot, 0)]
    if not bool(inside.all()):
        raise MemoryFaultError(
            f"a kernel {verb} outside its buffers ({int((~inside).sum())} lanes); is a mask missing?"
        )
    at: Array = (active - np.uint64(base)).astype(np.int64)
    if bool((at % itemsize).any()):
        raise MemoryFaultError(f"a kernel {verb} {itemsize} bytes at an address that is no multiple of {itemsize}")
    return at


def lanes_of(mask: Any, pointers: Array) -> Array:
    """The mask as booleans of the pointers' shape; Triton 3.6 hands some over as memoryviews."""
    lanes: Array = np.broadcast_to(np.asarray(mask).astype(bool), pointers.shape)
    return lanes
