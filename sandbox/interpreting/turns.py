"""The order in which an interpreter runs the programs of a launch.

At random; and a program that is about to do something atomic, or to set a flag, may find that others have come and gone
since what it did before: what looks as if it were ordered is not. One that waits, that is, reads the same again and
again, lets others run first, from the lowest index on. In kernels that wait, who overtakes may wait for what the other
one has not done yet; then it was not to be, and all is as if it had never begun.
"""

import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sandbox.interpreting.lanes import Lanes
from sandbox.interpreting.pipelines import LOOPS
from sandbox.interpreting.races import Races
from sandbox.triton_private.builder import interpreter_builder

Array = npt.NDArray[Any]
Body = Callable[[], None]
SPINS, SPINS_OF_TRIAL = 200, 20
"""After so many reads without anything new a program counts as waiting; if others are left in their middle only to see
whether it can do without them, and so cannot change anything, after fewer.
"""
MAX_WAITING = 16
"""Programs that are left in their middle at the same time; each takes a dozen or two frames of Python's stack."""
MAX_SEEN = 4096
OVERTAKEN = 2
"""One atomic in so many finds that another program has overtaken its own."""
ATTEMPTS, MAX_UNDONE = 32, 1 << 20
"""Times in a launch that a program overtakes another although it may have to wait; and the most memory, in bytes."""


class _StuckError(Exception):
    """Who overtook waits for whom it overtook."""


class Turns:
    """Which program runs next, within one launch after the other."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes, self.races = lanes, Races(0, 0, False)
        self.waits = self.atomic = self.relaxed = self.described = False
        """The launch has kernels that wait; the present access is an atomic, a relaxed one, by a tensor descriptor."""
        self.order, self.started = np.empty(0, np.int64), np.empty(0, bool)
        self.next = self.lowest = self.waiting = self.repeats = self.attempts = 0
        self.trying = self.stuck = False
        self.body: Body | None = None
        self.seen: dict[tuple[int, int], bytes] = {}

    def begin(self, order: Array, waits: bool) -> None:
        """A launch begins, after `races` is its own. Arguments as of `MemoryWatch.start`."""
        self.waits, self.order, self.started = waits, order, np.zeros(len(order), bool)
        self.next = self.lowest = 0
        self.attempts = ATTEMPTS if waits else 0

    def kept(self) -> Callable[[], None]:
        """What puts everything back to where it is now that programs can see or change."""
        started, found = self.started.copy(), (self.next, self.lowest)

        def undo() -> None:
            self.started[:] = started
            self.next, self.lowest = found

        return undo

    def turn(self, body: Body) -> None:
        """Run the next program, if any is left; `body` runs the one whose index the builder holds."""
        self.body = body
        following = self._following()
        if following is not None:
            self._run(following, body)

    def overtake(self) -> None:
        """Before something atomic: perhaps another program comes first."""
        if self.trying or self.waiting >= MAX_WAITING or secrets.randbelow(OVERTAKEN):
            return
        beside = self.races.me.program + 1  # most likely to use the same memory
        free = beside < len(self.started) and not self.started[beside]
        program = beside if free and secrets.randbelow(2) else self._following()
        if not self.waits:
            self._leave_for(program)
        elif self.attempts:
            self.attempts -= 1
            self._try(program)

    def progress(self) -> None:
        """Something is new, so nobody waits in vain."""
        self.seen.clear()
        self.repeats = 0

    def look(self, at: Array, found: Array) -> None:
        """After a read: a program that sees nothing new for long is waiting, so another one runs first."""
        if not self.waits or not at.size:
            return
        key, value = (int(at[0]), at.size), found.tobytes()
        if self.seen.get(key) == value:
            self.repeats += 1
        else:
            if key in self.seen or len(self.seen) > MAX_SEEN:
                self.seen.clear()
            self.seen[key], self.repeats = value, 0
        if self.repeats >= SPINS_OF_TRIAL and self.trying:
            self.stuck = True
            raise _StuckError
        if self.repeats >= SPINS and self.waiting < MAX_WAITING:
            while self.lowest < len(self.started) and self.started[self.lowest]:
                self.lowest += 1
            self._leave_for(self.lowest if self.lowest < len(self.started) else None)

    def _following(self) -> int | None:
        while self.next < len(self.order) and self.started[self.order[self.next]]:
            self.next += 1
        return int(self.order[self.next]) if self.next < len(self.order) else None

    def _try(self, program: int | None) -> None:
        """Run another program in the middle of the present one, if it can do without it."""
        undo, self.trying, self.stuck = self.kept(), True, False
        try:
            self._leave_for(program)
        except Exception:  # the interpreter has its own around ours
            if not self.stuck:
                raise
            undo()
        finally:
            self.trying = False

    def _leave_for(self, program: int | None) -> None:
        """Run another program in the middle of the present one."""
        if program is None or self.body is None:
            return
        index, me, kind = interpreter_builder.grid_idx, self.races.me, (self.atomic, self.relaxed, self.described)
        times = self.lanes.now, self.lanes.exchanged
        self.waiting, self.atomic, self.relaxed, self.described = self.waiting + 1, False, False, False
        try:
            with LOOPS.apart():
                self._run(program, self.body)
        finally:
            self.waiting, (self.atomic, self.relaxed, self.described) = self.waiting - 1, kind
            interpreter_builder.grid_idx, self.races.me = index, me
            self.lanes.now, self.lanes.exchanged = times
            self.progress()

    def _run(self, program: int, body: Body) -> None:
        self.started[program] = True
        self.lanes.begin()
        self.progress()
        self.races.enter(program)
        _, height, depth = interpreter_builder.grid_dim
        interpreter_builder.set_grid_idx(program // (height * depth), program // depth % height, program % depth)
        body()
