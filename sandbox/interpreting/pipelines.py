"""Loads that a compiler puts before stores, and before waits, of earlier iterations of their loop.

Triton overlaps the iterations of a loop (`num_stages`): what the next ones load is on its way before the present one
stores or waits, whether it is the same memory or not. It does so where `tl.range` is told to, and for the factors of a
`tl.dot`, what they are computed from, and what finds their addresses (not for what is added to the product); single
numbers of less than four bytes stay in their place. A loop is left alone that has a `tl.debug_barrier()` anywhere in
it, or another loop directly in its body, not in a branch. `flatten=True` makes one loop of two. An interpreter has no
such overlap.

What comes from a load is known by the values themselves (`sandbox.triton_private.slices`).

Not covered: inner loops that a compiler finds useless although they load, or knows to have one turn by computing;
conditions on tensors that it can work out, so that there is no branch; conditions as the only link to a factor; single
integers in kernels that wait.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from sandbox.interpreting.races import RaceError

Array = npt.NDArray[np.int64]
Clock = npt.NDArray[np.int32]
Early = frozenset[tuple[int, str]]
"""Iterations, by time, that loaded too early what a value comes from, and what is wrong with it; 0: any."""
Place = tuple[list["Loop"], int, int, int, Early]
"""Where a program is: as `Loops` has it."""
OVERLAP = (
    "a loop loads what an earlier iteration has stored: compiled, its iterations overlap; put tl.debug_barrier() into "
    "the loop"
)
AHEAD = (
    "a loop loads what it has learnt of by a wait in a branch: compiled, its iterations overlap, and the load comes "
    "first; wait by a while directly in the loop's body, or put tl.debug_barrier() into the loop"
)
LEFT_BEHIND = (
    "a loop loads what it has stored by a tensor descriptor: compiled, only its end waits until that is done; load it "
    "after the loop"
)
ALONE = (
    "a number that one thread has just stored is loaded by all, and meets a whole tensor or decides on a branch or a "
    "loop: put tl.debug_barrier() between the two"
)
PROGRAM_BITS = 24
"""Programs beyond as many are taken for others."""
SMALLEST = 4
"""Bytes of the smallest single number that is loaded ahead."""


class Loop:
    """One run of a `for` loop, or of several that are one when compiled."""

    def __init__(self, time: int, depth: int, stages: int | None, flattened: bool) -> None:
        self.began = self.iteration = time
        """Times of the first and of the present iteration."""
        self.depth, self.stages, self.flattened, self.turns = depth, stages, flattened, 0
        self.knew: Clock | None = None
        """What the program knew of others before it learnt more in the loop, if it did."""
        self.orders = False
        """It is not innermost, or has barriers."""
        self.updates = self.loads_too_early = False
        """It has atomics; it has loaded what its own tensor descriptors had stored."""

    def next(self) -> None:
        """The next iteration begins."""
        LOOPS.time += 1
        self.iteration = LOOPS.time
        self.turns += 1
        if LOOPS.around[0] is self:
            LOOPS.hits = 0


class Loops:
    """Those that a program is in, and when it stored what."""

    def __init__(self) -> None:
        self.time = 1
        self.around: list[Loop] = []
        self.depth = self.accesses = self.hits = 0
        """Branches around that tensors decide; accesses to memory; early loads since the outermost iteration began."""
        self.latest: Early = frozenset()

    def of_program(self) -> Place:
        """Where the present program is, for `go_on` when its turn comes again."""
        return self.around, self.depth, self.accesses, self.hits, self.latest

    def go_on(self, place: Place | None) -> None:
        """Another program goes on, or begins."""
        self.around, self.depth, self.accesses, self.hits, self.latest = place or ([], 0, 0, 0, frozenset())

    @contextmanager
    def entered(self, stages: int | None, flattened: bool = False, known: bool = False) -> Iterator[Loop]:
        """While the loop runs. `known`: its bounds are constants, so that a single turn is no loop.

        Raises:
            RaceError: it is over, and nothing made it wait for what its tensor descriptors had stored.
        """
        around, outer, accesses = self.around, self.around[-1] if self.around else None, self.accesses
        if outer is not None and outer.flattened and outer.depth == self.depth:
            outer.stages = stages if outer.stages is None else outer.stages
            yield outer
            return
        loop = Loop(self.time + 1, self.depth, stages, flattened)
        around.append(loop)
        try:
            yield loop
        finally:
            around.remove(loop)
        if loop.loads_too_early and not loop.updates:
            raise RaceError(LEFT_BEHIND)
        if loop.turns > int(known) and self.accesses > accesses:
            self.inside()

    @contextmanager
    def turning(self) -> Iterator[None]:
        """While a `while` loop runs."""
        accesses = self.accesses
        yield
        if self.accesses > accesses:
            self.inside()

    @contextmanager
    def branch(self) -> Iterator[None]:
        """While one of the branches of a condition on tensors runs."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def inside(self) -> None:
        """Here, in the present loop, stands another one that remains one."""
        if self.around and self.around[-1].depth == self.depth:
            self.around[-1].orders = True

    def meet(self) -> None:
        """Here is a barrier."""
        for loop in self.around:
            loop.orders = True

    def update(self) -> None:
        """In the loops around is an atomic."""
        for loop in self.around:
            loop.updates = True

    def learn(self, clock: Clock | None) -> None:
        """The present program, which knows this of others, is about to learn more."""
        if clock is None:
            return
        for loop in self.around:
            if loop.knew is None:
                loop.knew = clock.copy()

    def multiply(self, factors: list[Early]) -> None:
        """Raises:
        RaceError: what is multiplied comes from an early load of this iteration.
        """
        loop = self.around[-1] if self.around else None
        if loop is not None and not loop.orders:
            for iteration, reason in frozenset().union(*factors):
                if iteration == loop.iteration:
                    raise RaceError(reason)

    def store(self, stored: Array, at: Array, program: int) -> None:
        """The present program stores to the positions `at`; note it in `stored`, one for each byte of memory."""
        if self.around:
            stored[at] = (self.time << PROGRAM_BITS) + program % (1 << PROGRAM_BITS)

    def load(
        self, stored: Array, at: Array, program: int, nbytes: int, learnt: Callable[[Clock], bool] | None = None
    ) -> None:
        """The present program loads so many bytes in all at the positions `at`. `learnt` tells whether others have
        stored it of whom the program, with this knowledge, did not know.

        Raises:
            RaceError: compiled, it may be loaded before.
        """
        loop = self.around[-1] if self.around else None
        if loop is None or loop.orders or nbytes < SMALLEST or (loop.stages is not None and loop.stages < 2):
            return
        times, own = stored[at] >> PROGRAM_BITS, stored[at] % (1 << PROGRAM_BITS) == program % (1 << PROGRAM_BITS)
        if bool((own & (times >= loop.began) & (times < loop.iteration)).any()):
            reason = OVERLAP
        elif learnt is not None and loop.knew is not None and self.depth == loop.depth and learnt(loop.knew):
            reason = AHEAD
        else:
            return
        if loop.stages is not None:
            raise RaceError(reason)
        self.hits += 1
        self.latest = frozenset({(loop.iteration, reason)})

    def load_alone(self, before: int) -> None:
        """The last load, before which there had been so many early ones, is of a number that one thread has stored."""
        others = self.latest if self.hits != before else frozenset[tuple[int, str]]()
        self.hits += 1
        self.latest = others | {(0, ALONE)}


LOOPS = Loops()
"""Of the one program that a process interprets at a time."""
