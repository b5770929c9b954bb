"""Lanes of one program that touch each other's memory: lanes take turns in an interpreter, and do not on a GPU.

What one lane stores, another one may load only after `tl.debug_barrier` or an atomic of the whole program: other
operations in which lanes exchange values are dropped where nobody uses the result, or find all that they need in one
thread. What one lane loads, another may store over after those too, since the result cannot be had before the loads.
A lane is a place in a tensor of pointers of one shape; the same place in another shape may be another thread's.

Tensors with fewer elements than threads have copies in several, of which one stores and all load. What the others find
matters only where it meets larger tensors: kernels that step through memory by single numbers are right. So a number
that a program has just stored may be loaded, but must not meet a tensor of several warps, nor decide on a branch or a
loop. Any exchange in between will do: threads wait for each other in those, as far as a number tells.

Not covered: small tensors of more than one element.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sandbox.interpreting.pipelines import LOOPS
from sandbox.interpreting.races import RaceError
from sandbox.triton_private.builder import InterpreterBuilder, ReduceScanOpInterface, TensorHandle
from sandbox.triton_private.slices import PRODUCTS, marks

Array = npt.NDArray[Any]
EXCHANGES = (
    "create_dot", "create_dot_scaled", "create_trans", "create_gather", "create_histogram", "create_cat", "create_join",
    "create_split", "create_reshape",
)  # fmt: skip
"""Methods of the interpreter's builder, besides reductions and scans, by which values get from lane to lane."""
WARPS = 4
"""Of a program that does not say how many it has."""
PLACE_BITS, SHAPE_BITS = 20, 10
"""No tensor has more lanes; shapes beyond as many are taken for one."""
SEVERAL = (1 << PLACE_BITS + SHAPE_BITS) - 1
"""In place of a lane."""


class Lanes:
    """Which lane stored and loaded each byte last, and how often lanes had waited for each other by then."""

    def __init__(self, nbytes: int) -> None:
        """Args:
        nbytes: size of the memory that all positions refer to.
        """
        self.stored, self.loaded = np.zeros(nbytes, np.int64), np.zeros(nbytes, np.int64)
        self.updated: Array | None = None
        """By atomics of many lanes."""
        self.shapes: dict[tuple[int, ...], int] = {(): 0}
        self.numbers: dict[int, int] = {}
        """Where single numbers were stored, and how often lanes had exchanged values by then."""
        self.blocks, self.warps = 1, WARPS
        """Of a program, `num_ctas` and `num_warps`: a barrier is of one block, and a warp needs none."""
        self.times = self.now = self.exchanged = 1
        """All that there have been, that of the last barrier, and that of the last exchange of the present program."""

    def begin(self) -> None:
        """Another program runs."""
        self.times += 1
        self.now = self.exchanged = self.times

    def meet(self) -> None:
        """All lanes have come as far."""
        if self.blocks == 1:
            self.begin()

    def store(self, at: Array, lanes: Array) -> None:
        """Active lanes, as booleans, store to the positions `at`.

        Raises:
            RaceError: another lane has just loaded what is there, or has yet to do it.
        """
        own = self._numbers(lanes)
        if bool(_others(self.loaded[at], own, self.exchanged).any()):
            raise RaceError(
                "a lane stores to what another lane of its program loads: put tl.debug_barrier() between the two"
            )
        self._check_updated(at, own)
        self.stored[at] = _stamped(own, self.now)
        if lanes.size == 1:
            self.numbers.update(dict.fromkeys(at.tolist(), self.exchanged))

    def load(self, at: Array, lanes: Array) -> None:
        """Raises:
        RaceError: another lane has just stored what is loaded.
        """
        own = self._numbers(lanes)
        if bool(_others(self.stored[at], own, self.now).any()):
            raise RaceError(
                "a lane loads what another lane of its program has stored: put tl.debug_barrier() between the two"
            )
        self._check_updated(at, own)
        several = _others(self.loaded[at], own, self.exchanged)
        self.loaded[at] = _stamped(np.where(several, SEVERAL, own), self.exchanged)

    def stored_alone(self, at: Array, lanes: Array) -> bool:
        """Whether this is a single number that one thread has just stored, and others may not find yet."""
        if lanes.size > 1 or self.warps == 1:
            return False
        return any(self.numbers.get(place) == self.exchanged for place in at.tolist())

    def update(self, at: Array, lanes: Array) -> None:
        """An atomic of many lanes, which are served in any order.

        Raises:
            RaceError: another lane uses this plainly.
        """
        own = self._numbers(lanes)
        plainly = _others(self.stored[at], own, self.now) | _others(self.loaded[at], own, self.exchanged)
        if bool(plainly.any()):
            raise RaceError(
                "a lane updates atomically what another lane of its program uses plainly: put tl.debug_barrier() "
                "between the two"
            )
        if self.updated is None:
            self.updated = np.zeros(self.stored.size, np.int64)
        _, places, times = np.unique(at, return_inverse=True, return_counts=True)
        several = (times[places] > 1) | _others(self.updated[at], own, self.now)
        self.updated[at] = _stamped(np.where(several, SEVERAL, own), self.now)

    def _check_updated(self, at: Array, own: Array) -> None:
        if self.updated is not None and bool(_others(self.updated[at], own, self.now).any()):
            raise RaceError(
                "a lane uses plainly what another lane of its program has updated atomically: put tl.debug_barrier() "
                "between the two"
            )

    def _numbers(self, lanes: Array) -> Array:
        shape = lanes.shape if lanes.size > 1 else ()
        number = self.shapes.setdefault(shape, min(len(self.shapes), (1 << SHAPE_BITS) - 2))
        return np.flatnonzero(lanes) + (number << PLACE_BITS)

    def listen(self, also: Callable[[], None]) -> None:
        """Be told by this process's interpreter when lanes meet, and tell others of barriers. For good."""
        for order in (self.meet, LOOPS.meet, also):
            InterpreterBuilder.create_barrier = _told(InterpreterBuilder.create_barrier, order)
        for name in PRODUCTS:
            if hasattr(InterpreterBuilder, name):
                setattr(InterpreterBuilder, name, _multiplying(getattr(InterpreterBuilder, name)))
        for place, name in [(ReduceScanOpInterface, "apply"), *((InterpreterBuilder, name) for name in EXCHANGES)]:
            if hasattr(place, name):
                setattr(place, name, _told(getattr(place, name), self._exchange))

    def _exchange(self) -> None:
        self.times += 1
        self.exchanged = self.times


def _told(method: Any, after: Callable[[], None]) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        done = method(*args, **kwargs)
        after()
        return done

    return call


def _multiplying(product: Any) -> Any:
    """`create_dot`, or the scaled one; the last of the tensors is what is added."""

    def call(self: Any, *given: Any) -> Any:
        operands = [handle for handle in given if isinstance(handle, TensorHandle)]
        LOOPS.multiply([marks(factor) for factor in operands[:-1]])
        return product(self, *given)

    return call


def _stamped(lanes: Array, time: int) -> Array:
    return lanes + (time << PLACE_BITS + SHAPE_BITS)


def _others(stamps: Array, lanes: Array, time: int) -> Array:
    """Where a stamp is of this time, and of another lane."""
    found: Array = (stamps >> PLACE_BITS + SHAPE_BITS == time) & (stamps != _stamped(lanes, time))
    return found
