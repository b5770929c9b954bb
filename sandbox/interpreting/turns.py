"""The order in which an interpreter runs the programs of a launch.

At random; and a program that is about to do something atomic, or to set a flag, may find that others have come and gone
since what it did before: what looks as if it were ordered is not. Where kernels wait, one that reads the same again and
again steps back: programs that have not begun come first, from the lowest index on, then those that wait look again.

Each program runs in a greenlet of its own, so that any of them may go on wherever it stands. One runs at a time.
"""

import secrets
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from greenlet import getcurrent, greenlet

from sandbox.interpreting.lanes import Lanes
from sandbox.interpreting.pipelines import LOOPS
from sandbox.interpreting.races import Races
from sandbox.triton_private.builder import interpreter_builder, variables

Array = npt.NDArray[Any]
Body = Callable[[], None]
SPINS = 10
"""After so many reads without anything new a program counts as waiting."""
MAX_WAITING = 256
"""Programs that have begun and not ended; a barrier over a grid of more is refused."""
MAX_OVERTAKEN = 16
"""Programs that have begun and not ended, of which further ones are begun only if all of them wait."""
MAX_SEEN = 4096
OVERTAKEN = 2
"""One atomic in so many finds that another program has overtaken its own."""
PATIENCE = 20
"""After so many rounds in which all have looked and found nothing new, it is asked whether any of them ever will."""


class DeadlockError(Exception):
    """Programs wait for what no program will do."""


class Turns:
    """Which program runs next, within one launch after the other."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes, self.races = lanes, Races(0, 0, False)
        self.waits = False
        self.atomic = self.relaxed = self.alone = self.volatile = self.described = False
        """The present access is an atomic; a relaxed one; to its own program only; repeated wherever it stands; by a
        descriptor.
        """
        self.order, self.started = np.empty(0, np.int64), np.empty(0, bool)
        self.next = self.lowest = self.repeats = self.rounds = 0
        self.chosen: int | None = None
        """Who overtakes."""
        self.ready: list[greenlet] = []
        self.waiting: list[greenlet] = []
        """Programs in their middle: those that may go on, and those that have looked and found nothing new."""
        self.seen: dict[tuple[int, int], bytes] = {}
        self.stood: dict[int, set[int]] = {}
        """Program → where it has been since anything was new; and those that have come round to where they were."""
        self.stuck: set[int] = set()

    def begin(self, order: Array, waits: bool) -> None:
        """A launch begins, after `races` is its own. Arguments as of `MemoryWatch.start`."""
        self.waits, self.order, self.started = waits, order, np.zeros(len(order), bool)
        self.next = self.lowest = 0

    def turn(self, body: Body) -> None:
        """Run the next program, if any is left, and to their ends all that begin meanwhile; `body` runs the one whose
        index the builder holds.
        """
        self.chosen = self._following()
        while self.chosen is not None or self.ready or self.waiting:
            program, self.chosen = self.chosen, None
            if program is None and not self.ready and self._begun() < MAX_WAITING:
                program = self._lowest()
            if program is not None:
                greenlet(self._run).switch(program, body)
                continue
            if not self.ready:
                self.ready, self.waiting, self.rounds = self.waiting, [], self.rounds + 1
            self.ready.pop(secrets.randbelow(len(self.ready))).switch()

    def overtake(self) -> None:
        """Before something atomic: perhaps another program comes first."""
        if self.repeats >= SPINS or secrets.randbelow(OVERTAKEN):
            return
        if self._begun() < MAX_OVERTAKEN:
            beside = self.races.me.program + 1  # most likely to use the same memory
            free = beside < len(self.started) and not self.started[beside]
            self.chosen = beside if free and secrets.randbelow(2) else self._following()
        if self.chosen is None and self.waiting and not secrets.randbelow(2):
            self.ready.append(self.waiting.pop(secrets.randbelow(len(self.waiting))))
        if self.chosen is not None or self.ready:
            self._step_back(self.ready)

    def progress(self) -> None:
        """Something is new, so nobody waits in vain."""
        self.seen.clear()
        self.repeats = 0
        self.renew()

    def renew(self) -> None:
        """Whoever waits may yet find something new."""
        self.rounds = 0
        if self.stood:
            self.stood, self.stuck = {}, set()

    def look(self, at: Array, found: Array) -> None:
        """After a read: a program that sees nothing new for long is waiting, so another one runs first.

        Raises:
            DeadlockError: nobody else will do anything.
        """
        if not self.waits or not at.size:
            return
        key, value = (int(at[0]), at.size), found.tobytes()
        if self.seen.get(key) == value:
            self.repeats += 1
        else:
            again = key in self.seen and self.repeats >= SPINS  # it waits, and this may not be what it waits for
            if key in self.seen or len(self.seen) > MAX_SEEN:
                self.seen.clear()
            self.seen[key], self.repeats = value, SPINS - 1 if again else 0
            self.renew()
        if self.repeats >= SPINS:
            if self.rounds and not self.rounds % PATIENCE:
                self._check_hope()
            self._step_back(self.waiting)

    def _check_hope(self) -> None:
        """Raises:
        DeadlockError: every program that has begun is where it was before, with all that it knows, while nothing in
            memory has changed.
        """
        program = self.races.me.program
        here, been = self._standing(), self.stood.setdefault(program, set())
        if here in been:
            self.stuck.add(program)
        been.add(here)
        if len(self.stuck) <= self._begun():
            return
        if self._lowest() is not None:
            raise DeadlockError(f"more than {MAX_WAITING} programs wait for one another; launch fewer")
        raise DeadlockError("programs wait for one another, or for what none of them does, and nobody else is left")

    def _standing(self) -> int:
        """Where the present program is, and what it knows."""
        frame, loops = sys._getframe(), [loop.iteration for loop in LOOPS.around]
        return hash((*loops, *variables(frame)))

    def _begun(self) -> int:
        """How many others are in their middle."""
        return len(self.ready) + len(self.waiting)

    def _following(self) -> int | None:
        while self.next < len(self.order) and self.started[self.order[self.next]]:
            self.next += 1
        return int(self.order[self.next]) if self.next < len(self.order) else None

    def _lowest(self) -> int | None:
        while self.lowest < len(self.started) and self.started[self.lowest]:
            self.lowest += 1
        return self.lowest if self.lowest < len(self.started) else None

    def _step_back(self, among: list[greenlet]) -> None:
        """Let others run; go on when chosen from `among`."""
        index, me, access = interpreter_builder.grid_idx, self.races.me, self._access()
        times, loops = (self.lanes.now, self.lanes.exchanged), LOOPS.of_program()
        seen, repeats = self.seen, self.repeats
        among.append(getcurrent())
        getcurrent().parent.switch()
        interpreter_builder.grid_idx, self.races.me = index, me
        self.atomic, self.relaxed, self.alone, self.volatile, self.described = access
        LOOPS.go_on(loops)
        self.lanes.now, self.lanes.exchanged = times
        self.seen, self.repeats = seen, repeats

    def _access(self) -> tuple[bool, ...]:
        return self.atomic, self.relaxed, self.alone, self.volatile, self.described

    def _run(self, program: int, body: Body) -> None:
        self.started[program] = True
        self.atomic = self.relaxed = self.alone = self.volatile = self.described = False
        self.seen = {}
        LOOPS.go_on(None)
        self.lanes.begin()
        self.progress()
        self.races.enter(program)
        _, height, depth = interpreter_builder.grid_dim
        interpreter_builder.set_grid_idx(program // (height * depth), program // depth % height, program % depth)
        body()
        self.renew()
        self.ready, self.waiting = self.ready + self.waiting, []  # they look again before others begin
