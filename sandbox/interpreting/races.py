"""Races between the programs of one launch, found by what each program can know of the others.

Programs run one after the other here, at the same time on a GPU. Two accesses to one address by different programs, one
of them a write, race unless the first is known to the second: through an atomic on one address by both, the earlier
one's before the later one's (a vector clock a program, in the manner of FastTrack; Flanagan and Freund, PLDI 2009).
Atomics count as writes, except among themselves. Kernels in which nobody looks at what an atomic returns
(`kernels.waits`) cannot order themselves: their atomics say nothing.

Loads and atomics are noted by their first byte alone as long as all accesses to the same eight bytes have one width.

Not covered: `atomic_cas` is left out as a write where kernels wait, because loops around it start from a plain load.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_NOBODY, _SEVERAL = 0, -1
WIDEST = 8


class RaceError(Exception):
    """Two programs of one launch touch the same element without order."""


class Standpoint(NamedTuple):
    """A program, its present segment (what it does between two releases), and what it knows."""

    program: int
    segment: int
    clock: Array | None
    """For each program, the last of its segments that is over for certain, counted from 1. int32 (programs,)."""


class Races:
    """Who touched each byte last in this launch."""

    def __init__(self, nbytes: int, programs: int, synchronises: bool) -> None:
        """Args:
        nbytes: size of the memory that all positions refer to.
        synchronises: atomics order programs.
        """
        self.programs, self.synchronises = programs, synchronises
        self.writers, self.readers = np.zeros(nbytes, np.int32), np.zeros(nbytes, np.int32)
        self.updaters: Array | None = None
        self.widths, self.bytewise = np.zeros(-(-nbytes // WIDEST), np.uint8), False
        """Of the loads and atomics of each eight bytes; or there was one of two, and so every byte is noted."""
        self.started = np.zeros(programs if synchronises else 0, bool)
        self.published: dict[int, Array] = {}
        self.over: dict[int, Array] = {}
        """Program → what it knew, and had done, at its last barrier."""
        self.owners, self.counts = np.zeros(1024, np.int32), np.zeros(1024, np.int32)
        self.segments = 1
        self.narrowest = WIDEST
        """Bytes of the narrowest plain store so far."""
        self.me = Standpoint(-1, _NOBODY, None)

    def enter(self, program: int) -> None:
        """A program begins."""
        if not self.synchronises:
            self.me = Standpoint(program, program + 1, None)
            return
        clock = np.zeros(self.programs, np.int32)
        clock[program] = 1
        self.started[program] = True
        self.me = Standpoint(program, self._segment(program, 1), clock)

    def read(self, at: Array, size: int = 1) -> None:
        """A plain load of so many bytes.

        Raises:
            RaceError: another program may write this at the same time.
        """
        self._widen(at, size)
        if not (self._known_writers(at, size) and self._known_updates(at, size)):
            raise RaceError("a program reads what another program of the same launch wrote: a race on a GPU")
        self._note(self.readers, at, size)

    def write(self, at: Array, changes: Callable[[Array], bool], size: int = 1) -> None:
        """A plain store of so many bytes; `changes(lanes)` tells whether it changes anything in these lanes: writing
        what is there already is no race.

        Raises:
            RaceError: another program may use this at the same time.
        """
        self._widen(at, size)
        known = np.ones(at.shape, bool)
        for byte in range(0, size, self.narrowest):
            known &= self._ordered(self.writers[at + byte])
        for users in self._users():
            for byte in self._noted(size):
                known &= self._ordered(users[at + byte])
        if not bool(known.all()) and changes(~known):
            raise RaceError("two programs of one launch use the same element, and one writes it: a race on a GPU")
        for byte in range(size):
            self.writers[at + byte] = self.me.segment
        self.narrowest = min(self.narrowest, size)

    def update(self, at: Array, swap: bool, size: int = 1) -> None:
        """An atomic of so many bytes, after `acquire`; `swap` for an atomic_cas that is tried again until it succeeds.

        Raises:
            RaceError: another program may use this at the same time, and not atomically.
        """
        self._widen(at, size)
        read = [] if swap else [self.readers[at + byte] for byte in self._noted(size)]
        if not (self._known_writers(at, size) and all(map(self._known, read))):
            raise RaceError("a program updates atomically what another one uses plainly: a race on a GPU")
        if not swap:
            if self.updaters is None:
                self.updaters = np.zeros(self.writers.size, np.int32)
            self._note(self.updaters, at, size)

    def knows(self, segment: int) -> bool:
        """What was done in a segment is over for certain, for the program that runs now."""
        return self._known(np.array([segment], np.int32))

    def learnt(self, at: Array, knew: Array) -> bool:
        """Others have stored there what a program that knew only this did not know."""
        segments = self.writers[at]
        owners = self.owners[segments]
        fresh = (segments != _NOBODY) & (owners != self.me.program) & (knew[owners] < self.counts[segments])
        return bool(fresh.any())

    def acquire(self, at: Iterable[int]) -> None:
        """Whatever was known to those who released these addresses is known now."""
        clock = self.me.clock
        if clock is not None:
            found = (self.published.get(address) for address in at)
            for known in {id(known): known for known in found if known is not None}.values():
                np.maximum(clock, known, out=clock)

    def meet(self) -> None:
        """All lanes of the program have come to a barrier."""
        program, _, clock = self.me
        if clock is not None:
            self.over[program] = clock.copy()
            clock[program] += 1
            self.me = Standpoint(program, self._segment(program, int(clock[program])), clock)

    def release(self, at: Iterable[int], updating: bool = False, plainly: bool = False, relaxed: bool = False) -> None:
        """What was done so far will be known to those who acquire these addresses; and, where they are not stored anew
        but updated, what others have released there before. A plain store may be seen before what its program's other
        lanes have stored since their last barrier. Who sees what a relaxed one has stored learns nothing.
        """
        program, _, clock = self.me
        if relaxed:
            for address in at:
                self.published.pop(address, None)
        elif plainly:
            self.published |= dict.fromkeys(at, self.over.get(program, np.zeros(self.programs, np.int32)))
        elif clock is not None:
            known = clock.copy()
            for address in at:
                before = self.published.get(address) if updating else None
                self.published[address] = known if before is None else np.maximum(known, before)
            clock[program] += 1
            self.me = Standpoint(program, self._segment(program, int(clock[program])), clock)

    def _segment(self, program: int, count: int) -> int:
        number, self.segments = self.segments, self.segments + 1
        if number == len(self.owners):
            self.owners, self.counts = np.resize(self.owners, 2 * number), np.resize(self.counts, 2 * number)
        self.owners[number], self.counts[number] = program, count
        return number

    def _note(self, users: Array, at: Array, size: int) -> None:
        """Record an access that does not exclude others of its kind."""
        for byte in self._noted(size):
            users[at + byte] = np.where(self._ordered(users[at + byte]), self.me.segment, _SEVERAL)

    def _users(self) -> list[Array]:
        return [self.readers] if self.updaters is None else [self.readers, self.updaters]

    def _noted(self, size: int) -> range:
        """Bytes of an access by which it is known."""
        return range(size if self.bytewise else 1)

    def _widen(self, at: Array, size: int) -> None:
        """Before an access of so many bytes: if it is the first of another width, note all bytes of those before it."""
        if self.bytewise:
            return
        places = at // WIDEST
        before = self.widths[places]
        if not bool(((before != size) & (before != 0)).any()):
            self.widths[places] = size
            return
        self.bytewise = True
        for width in (2, 4, 8):
            wide = np.flatnonzero(self.widths == width) * WIDEST
            for first in range(0, WIDEST, width):
                for users in self._users():
                    for byte in range(1, width):
                        inside = wide[wide + first + byte < users.size] + first
                        users[inside + byte] = users[inside]

    def _known(self, segments: Array) -> bool:
        return bool(self._ordered(segments).all())

    def _known_writers(self, at: Array, size: int) -> bool:
        return all(self._known(self.writers[at + byte]) for byte in range(0, size, self.narrowest))

    def _known_updates(self, at: Array, size: int) -> bool:
        users = self.updaters
        return users is None or all(self._known(users[at + byte]) for byte in self._noted(size))

    def _ordered(self, segments: Array) -> Array:
        """Lanes whose last user is nobody, this program, or one that has finished with them for certain."""
        clock = self.me.clock
        ordered: Array
        if clock is None:
            ordered = (segments == _NOBODY) | (segments == self.me.segment)
            return ordered
        several = segments == _SEVERAL
        index = np.where(several, _NOBODY, segments)
        ordered = clock[self.owners[index]] >= self.counts[index]
        if bool(several.any()) and not bool((clock[self.started] > 0).all()):
            ordered &= ~several
        return ordered
