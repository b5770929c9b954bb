"""Lanes of one program that touch each other's memory: lanes take turns in an interpreter, and do not on a GPU.

What one lane stores, another one may load only after `tl.debug_barrier`, or after an operation in which lanes exchange
values and therefore wait for each other. A lane is a place in the tensor of pointers. Not covered: lanes of tensors of
other shapes that are not the same thread's, and loads that a later store of another lane may overtake.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from triton.runtime.interpreter import InterpreterBuilder, ReduceScanOpInterface

from sandbox.races import RaceError

Array = npt.NDArray[Any]
EXCHANGES = (
    "create_barrier", "create_dot", "create_dot_scaled", "create_trans", "create_gather", "create_histogram",
    "create_cat", "create_join", "create_split", "create_reshape",
)  # fmt: skip
"""Methods of the interpreter's builder after which all lanes have come as far."""


class Lanes:
    """Which lane stored each byte last, and how often lanes had waited for each other by then."""

    def __init__(self, nbytes: int) -> None:
        """Args:
        nbytes: size of the memory that all positions refer to.
        """
        self.lanes, self.times = np.zeros(nbytes, np.int32), np.zeros(nbytes, np.int64)
        self.now = 1

    def meet(self) -> None:
        """All lanes have come as far, or another program goes on."""
        self.now += 1

    def store(self, at: Array, lanes: Array) -> None:
        """Active lanes, as booleans, store to the positions `at`."""
        self.lanes[at], self.times[at] = np.flatnonzero(lanes), self.now

    def load(self, at: Array, lanes: Array) -> None:
        """Raises:
        RaceError: another lane has just stored what is loaded.
        """
        fresh = self.times[at] == self.now
        if bool(fresh.any()) and bool((fresh & (self.lanes[at] != np.flatnonzero(lanes))).any()):
            raise RaceError(
                "a lane loads what another lane of its program has stored: put tl.debug_barrier() between the two"
            )

    def listen(self) -> None:
        """Be told by this process's interpreter when lanes meet. For good."""
        for place, name in [(ReduceScanOpInterface, "apply"), *((InterpreterBuilder, name) for name in EXCHANGES)]:
            if hasattr(place, name):
                setattr(place, name, self._met_after(getattr(place, name)))

    def _met_after(self, method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            done = method(*args, **kwargs)
            self.meet()
            return done

        return call
