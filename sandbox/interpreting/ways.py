"""Ways to memory that do not wait for each other: loads and stores by pointers, and those by tensor descriptors.

A copy engine makes the latter. It does not see what pointers have stored a moment ago. Triton waits until its stores
are done right after each; but in a `for` loop only after the loop, unless an atomic is in that: so what the loop has
stored by a descriptor may not be loaded in the same run of it, be it by pointers, behind a barrier or by a descriptor.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from sandbox.interpreting.pipelines import LOOPS
from sandbox.interpreting.races import RaceError
from sandbox.triton_private.atomics import STORES_UNSEEN

Array = npt.NDArray[Any]
_PLAINLY, _DESCRIBED = 1, 2


class Ways:
    """How the present launch has stored each byte."""

    def __init__(self, nbytes: int) -> None:
        """Args:
        nbytes: size of the memory that all positions refer to.
        """
        self.stored = np.zeros(nbytes, np.int32)
        """Nothing, `_PLAINLY`, `_DESCRIBED`, or that and when the innermost loop began in which it was."""

    def start(self, buffers: list[tuple[int, int]]) -> None:
        """A launch begins that may touch these."""
        for start, end in buffers:
            self.stored[start:end] = 0

    def store(self, at: Array, described: bool) -> None:
        """By a tensor descriptor, or by pointers."""
        if described and LOOPS.around:
            self.stored[at] = _DESCRIBED + LOOPS.around[-1].began
        else:
            self.stored[at] = _DESCRIBED if described else _PLAINLY

    def load(self, at: Array, described: bool) -> None:
        """Whether a loop has an atomic is known when it has run, so that it has to tell.

        Raises:
            RaceError: compiled, nothing makes the load wait for the store of what it loads.
        """
        stored = self.stored[at]
        if described and bool((stored == _PLAINLY).any()):
            raise RaceError(
                "a tensor descriptor loads what its kernel has stored by pointers: compiled, nothing puts the two in "
                "order; store it by a descriptor, or load it by pointers"
            )
        if STORES_UNSEEN and bool((stored >= _DESCRIBED).any()):
            raise RaceError(
                "a kernel loads what it has stored by a tensor descriptor: Triton 3.6 does not wait until that is done"
            )
        for loop in LOOPS.around:
            loop.loads_too_early |= bool((stored == _DESCRIBED + loop.began).any())
