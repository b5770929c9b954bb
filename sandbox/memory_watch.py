"""Watches every memory access of interpreted kernels: out of bounds, and races between programs.

A sequential interpreter forgives both: memory behind a buffer is readable, and programs never run at once. A GPU does
not. Found here: any active lane outside the buffers of its launch; a program that reads, or overwrites with another
value, what a different program of the same launch wrote or read. Kernels that wait, or that look at what an atomic
returns, may order themselves: for those, races are not judged. Programs run in random order unless kernels wait.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import triton.runtime.interpreter as triton_interpreter

Array = npt.NDArray[Any]
_NOBODY, _SEVERAL = -1, -2


class MemoryFaultError(Exception):
    """A kernel touches memory in a way that a GPU would not forgive."""


class MemoryWatch:
    """Stands in for the interpreter's native memory module and passes on what is allowed."""

    def __init__(self, native: Any) -> None:
        self.native = native
        self.starts = self.ends = np.empty(0, np.uint64)
        self.base = 0
        self.writers = self.readers = np.empty(0, np.int32)
        self.races = True
        self.order: list[int] = []

    @classmethod
    def install(cls) -> "MemoryWatch":
        """Put a watch into this process's interpreter. For good."""
        watch = cls(triton_interpreter._interpreter)
        triton_interpreter._interpreter = watch
        builder = triton_interpreter.interpreter_builder
        original = builder.set_grid_idx

        def set_grid_idx(x: int, y: int, z: int) -> None:
            if watch.order:
                _, height, depth = builder.grid_dim
                place = watch.order[(x * height + y) * depth + z]
                x, y, z = place // (height * depth), place // depth % height, place % depth
            original(x, y, z)

        builder.set_grid_idx = set_grid_idx
        return watch

    def start(self, base: int, nbytes: int, buffers: list[tuple[int, int]], races: bool, order: list[int]) -> None:
        """A launch begins.

        Args:
            base: address of the memory that holds all buffers.
            nbytes: its size.
            buffers: first and last-plus-one address of each buffer that the launch may touch.
            races: judge races between programs.
            order: in which order programs run, or empty for their own.
        """
        ordered = sorted(buffers)
        self.starts = np.array([start for start, _ in ordered], np.uint64)
        self.ends = np.array([end for _, end in ordered], np.uint64)
        self.base = base
        self.writers = np.full(nbytes, _NOBODY, np.int32)
        self.readers = np.full(nbytes, _NOBODY, np.int32)
        self.races, self.order = races, order

    def __getattr__(self, name: str) -> Any:
        return getattr(self.native, name)

    def load(self, pointers: Array, mask: Array, other: Array, dtype: Any) -> Any:
        at = self._within(pointers, mask, np.dtype(dtype).itemsize, "reads")
        me = self._program()
        if self.races:
            writers = self.writers[at]
            if bool(((writers != _NOBODY) & (writers != me)).any()):
                raise MemoryFaultError("a program reads what another program of the same launch wrote: a race on a GPU")
        seen = self.readers[at]
        self.readers[at] = np.where((seen == _NOBODY) | (seen == me), me, _SEVERAL)
        return self.native.load(pointers, mask, other, dtype)

    def store(self, pointers: Array, value: Array, mask: Array) -> Any:
        at = self._within(pointers, mask, value.dtype.itemsize, "writes")
        me = self._program()
        if self.races:
            writers, readers = self.writers[at], self.readers[at]
            foreign = ((writers != _NOBODY) & (writers != me)) | ((readers != _NOBODY) & (readers != me))
            if bool(foreign.any()) and self._changes(pointers, value, mask, foreign):
                raise MemoryFaultError(
                    "two programs of one launch use the same element, and one writes it: a race on a GPU"
                )
        self.writers[at] = me
        return self.native.store(pointers, value, mask)

    def atomic_rmw(self, operation: Any, pointers: Array, value: Array, mask: Array, semantics: Any) -> Any:
        self._within(pointers, mask, value.dtype.itemsize, "updates")
        return self.native.atomic_rmw(operation, pointers, value, mask, semantics)

    def atomic_cas(self, pointers: Array, compare: Array, value: Array, semantics: Any) -> Any:
        self._within(pointers, np.ones_like(pointers, dtype=bool), value.dtype.itemsize, "updates")
        return self.native.atomic_cas(pointers, compare, value, semantics)

    def _within(self, pointers: Array, mask: Array, itemsize: int, verb: str) -> Array:
        """Positions of the active lanes relative to `base`.

        Raises:
            MemoryFaultError: an active lane is outside the launch's buffers.
        """
        active = pointers[_lanes(mask, pointers)].astype(np.uint64)
        slot = np.searchsorted(self.starts, active, side="right").astype(np.int64) - 1
        inside = (
            (slot >= 0) & (active + np.uint64(itemsize) <= self.ends[np.maximum(slot, 0)])
            if len(self.ends)
            else slot >= 0
        )
        if not bool(inside.all()):
            raise MemoryFaultError(
                f"a kernel {verb} outside its buffers ({int((~inside).sum())} lanes); is a mask missing?"
            )
        at: Array = (active - np.uint64(self.base)).astype(np.int64)
        return at

    def _changes(self, pointers: Array, value: Array, mask: Array, foreign: Array) -> bool:
        mask = _lanes(mask, pointers)
        old = self.native.load(pointers, mask, np.zeros(pointers.shape, value.dtype), value.dtype)
        new = np.broadcast_to(value, pointers.shape)
        return bool((old[mask] != new[mask])[foreign].any())

    def _program(self) -> int:
        builder = triton_interpreter.interpreter_builder
        (x, y, z), (_, height, depth) = builder.grid_idx, builder.grid_dim
        return int((x * height + y) * depth + z)


def _lanes(mask: Any, pointers: Array) -> Array:
    """The mask as booleans of the pointers' shape; Triton 3.6 hands some over as memoryviews."""
    lanes: Array = np.broadcast_to(np.asarray(mask).astype(bool), pointers.shape)
    return lanes
