"""Loads that a compiler puts before stores of earlier iterations of their loop.

Triton overlaps the iterations of a loop (`num_stages`): what the next ones load is on its way before the present one
stores, whether it is the same memory or not. It does so where `tl.range` is told to, and for the factors of a `tl.dot`
(not for what is added to the product); in innermost `for` loops, and not where a `tl.debug_barrier()` is in the loop.
An interpreter has no such overlap.

A factor is known by its numbers, which may have been transposed or converted (not to bfloat16) since they were loaded
in the same iteration, but not computed with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from sandbox.interpreting.races import RaceError

Array = npt.NDArray[np.int64]
OVERLAP = (
    "a loop loads what an earlier iteration has stored: compiled, its iterations overlap; put tl.debug_barrier() into "
    "the loop"
)
LEFT_BEHIND = (
    "a loop loads what it has stored by a tensor descriptor: compiled, only its end waits until that is done; load it "
    "after the loop"
)
PROGRAM_BITS = 24
"""Programs beyond as many are taken for others."""


class Loop:
    """One run of a `for` loop."""

    def __init__(self, time: int, stages: int | None) -> None:
        self.began = self.iteration = time
        """Times of the first and of the present iteration."""
        self.stages = stages
        self.multiplies = False
        self.loaded: list[npt.NDArray[Any]] = []
        """What the present iteration has loaded of what earlier ones have stored."""
        self.orders = False
        """It is not innermost, or has barriers."""
        self.updates = self.loads_too_early = False
        """It has atomics; it has loaded what its own tensor descriptors had stored."""

    def next(self) -> None:
        """The next iteration begins."""
        LOOPS.time += 1
        self.iteration = LOOPS.time
        self.loaded.clear()

    def end(self) -> None:
        """All iterations are done.

        Raises:
            RaceError: nothing makes loads in it wait for what they load.
        """
        if self.loads_too_early and not self.updates:
            raise RaceError(LEFT_BEHIND)


class Loops:
    """Those that a program is in, and when it stored what."""

    def __init__(self) -> None:
        self.time = 1
        self.around: list[Loop] = []

    @contextmanager
    def entered(self, stages: int | None) -> Iterator[Loop]:
        """While the loop runs."""
        self.inside()
        around, loop = self.around, Loop(self.time + 1, stages)
        around.append(loop)
        try:
            yield loop
        finally:
            around.remove(loop)

    def inside(self) -> None:
        """In the present loop is another one, or a barrier."""
        if self.around:
            self.around[-1].orders = True

    def update(self) -> None:
        """In the loops around is an atomic."""
        for loop in self.around:
            loop.updates = True

    def multiply(self, factors: list[npt.NDArray[Any]]) -> None:
        """Raises:
        RaceError: an earlier iteration has stored what is multiplied.
        """
        loop = self.around[-1] if self.around else None
        if loop is None or loop.orders:
            return
        loop.multiplies = True
        if any(_alike(loaded, factor) for loaded in loop.loaded for factor in factors):
            raise RaceError(OVERLAP)

    def store(self, stored: Array, at: Array, program: int) -> None:
        """The present program stores to the positions `at`; note it in `stored`, one for each byte of memory."""
        if self.around:
            stored[at] = (self.time << PROGRAM_BITS) + program % (1 << PROGRAM_BITS)

    def load(self, stored: Array, at: Array, program: int, found: npt.NDArray[Any]) -> None:
        """The present program loads what is `found` at the positions `at`.

        Raises:
            RaceError: an earlier iteration has stored it.
        """
        loop = self.around[-1] if self.around else None
        if loop is None or loop.orders or at.size < 2:
            return
        if not (loop.multiplies if loop.stages is None else loop.stages > 1):
            return
        times, own = stored[at] >> PROGRAM_BITS, stored[at] % (1 << PROGRAM_BITS) == program % (1 << PROGRAM_BITS)
        if not bool((own & (times >= loop.began) & (times < loop.iteration)).any()):
            return
        if loop.stages is not None:
            raise RaceError(OVERLAP)
        loop.loaded.append(found)


def _alike(loaded: npt.NDArray[Any], factor: npt.NDArray[Any]) -> bool:
    """Whether they hold the same numbers, which are not all one number."""
    if loaded.size != factor.size or (loaded == loaded.flat[0]).all():
        return False
    with np.errstate(all="ignore"):
        found = loaded.astype(factor.dtype)
    turned = found.swapaxes(-1, -2) if found.ndim > 1 else found
    return any(np.array_equal(one.ravel(), factor.ravel(), equal_nan=True) for one in (found, turned))


LOOPS = Loops()
"""Of the one program that a process interprets at a time."""
