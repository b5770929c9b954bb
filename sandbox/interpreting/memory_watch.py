"""Watches every memory access of interpreted kernels: bounds, memory that nobody has set, races between programs.

A sequential interpreter forgives all three: memory behind a buffer is readable, unset memory holds something, and
programs never run at once. A GPU does not. Found here: any active lane outside the buffers of its launch; plain loads
and read-modify-write atomics of bytes that no step, kernel or input has set; races of programs (`races`) and of lanes
(`lanes`). In which order programs run is the business of `turns`.

Not covered: more than `turns.MAX_WAITING` programs that wait for one another; such kernels are refused.
"""

import secrets
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sandbox.interpreting.lanes import Lanes
from sandbox.interpreting.memory_places import MemoryFaultError, lanes_of, positions
from sandbox.interpreting.open_answers import opened
from sandbox.interpreting.pipelines import LOOPS
from sandbox.interpreting.races import RaceError, Races
from sandbox.interpreting.turns import Turns
from sandbox.interpreting.ways import Ways
from sandbox.triton_private.atomics import in_any_order, listen, updated
from sandbox.triton_private.builder import interpreter_builder, put_before_memory
from sandbox.triton_private.hints import HINTS, HintError
from sandbox.triton_private.slices import follow

Array = npt.NDArray[Any]
MAX_STALE = 8
"""Looks at a flag that may come too early."""


class MemoryWatch(Turns):
    """Stands in for the interpreter's native memory module and passes on what is allowed."""

    def __init__(self, native: Any, base: int, nbytes: int) -> None:
        super().__init__(Lanes(nbytes))
        self.native, self.base = native, base
        self.written = np.zeros(nbytes, np.uint8)
        """Not zero for every byte that holds something; the owner marks inputs and what other steps write."""
        self.iterations = np.zeros(nbytes, np.int64)
        """For every byte, when a loop stored it; see `pipelines`."""
        self.starts = self.ends = np.empty(0, np.uint64)
        self.signals: dict[int, tuple[int, Any]] = {}
        """Where a flag was stored plainly: in which segment, and what was there before."""
        self.looks: dict[tuple[int, int], int] = {}
        """Program and flag → how often it may still see what was there before."""
        self.ways = Ways(nbytes)

    @classmethod
    def install(cls, base: int, nbytes: int) -> "MemoryWatch":
        """Put a watch into this process's interpreter, over `nbytes` bytes at address `base`. For good."""
        watch = put_before_memory(lambda memory: cls(memory, base, nbytes))
        follow()
        watch.lanes.listen(lambda: watch.races.meet())
        listen(watch, interpreter_builder)
        return watch

    def start(
        self, buffers: list[tuple[int, int]], order: Array, synchronises: bool = False, waits: bool = False
    ) -> None:
        """A launch begins.

        Args:
            buffers: first and last-plus-one address of each buffer that the launch may touch.
            order: in which order its programs run, int64 (programs,).
            synchronises, waits: see `kernels.source.KernelModule`.
        """
        ordered = sorted(buffers)
        self.starts = np.array([start for start, _ in ordered], np.uint64)
        self.ends = np.array([end for _, end in ordered], np.uint64)
        self.races, self.synchronises = Races(self.written.size, len(order), synchronises), synchronises
        self.begin(order, waits)
        self.signals, self.looks = {}, {}
        HINTS.false.clear()
        self.ways.start([(start - self.base, end - self.base) for start, end in buffers])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.native, name)

    def load(self, pointers: Array, mask: Array, other: Array, dtype: Any) -> Any:
        dtype, lanes = np.dtype(dtype), lanes_of(mask, pointers)
        at = self._within(pointers, mask, dtype.itemsize, "reads")
        flag = self._is_flag(at, dtype) and not self.atomic
        instead = self._elsewhere(pointers, mask, dtype.itemsize)
        if self.atomic or flag:
            self._check_written(at, "reads")
        self.ways.load(at, self.described)
        if flag and not self.volatile and not self.races.knows(self.signals.get(int(at[0]), (0, None))[0]):
            raise RaceError(
                "a program reads a flag that another one sets: compiled, it may never look again; load it with "
                "volatile=True, or by an atomic"
            )
        stale = self._stale(int(at[0]), dtype) if flag else None
        if stale is not None:
            self.renew()
        elif (self.atomic or flag) and not self.relaxed:
            self._acquire(at.tolist())
        if self.atomic:
            self.races.update(at, True, dtype.itemsize)
        elif not flag:
            self.races.read(at, dtype.itemsize)
            self.lanes.load(at, lanes)
        found = self.native.load(pointers, mask, other, dtype)
        if not self.atomic and not flag:
            learnt, before = partial(self.races.learnt, at), LOOPS.hits
            LOOPS.load(self.iterations, at, self.races.me.program, found.nbytes, learnt)
            if self.lanes.stored_alone(at, lanes):
                LOOPS.load_alone(before)
        if stale is not None:
            found = np.where(lanes, stale, found)
        if not bool(self.written[at].all()):
            found = opened(found, self._unset(at, pointers, mask))
        if instead is not None:
            found = opened(found, instead != pointers, self.native.load(instead, mask, other, dtype))
        self.look(at, found)
        return found

    def store(self, pointers: Array, value: Array, mask: Array) -> Any:
        at = self._within(pointers, mask, value.dtype.itemsize, "writes")
        flag = self._is_flag(at, value.dtype)
        if flag and not self.atomic:
            self.overtake()
            old = self.native.load(pointers, mask, np.zeros(pointers.shape, value.dtype), value.dtype)
            self.signals[int(at[0])] = (self.races.me.segment, old[lanes_of(mask, pointers)][0])
        if self.atomic:
            self.races.update(at, False, value.dtype.itemsize)
        elif not flag:
            self.races.write(at, lambda lanes: self._changes(pointers, value, mask, lanes), value.dtype.itemsize)
            self.lanes.store(at, lanes_of(mask, pointers))
            LOOPS.store(self.iterations, at, self.races.me.program)
        for byte in range(value.dtype.itemsize):
            self.written[at + byte] = 1
        self.ways.store(at, self.described)
        self.progress()
        done = self.native.store(pointers, value, mask)
        if at.size > 1:
            self._check_agreement(pointers, value, mask)
        if self.atomic or flag:
            self.races.release(at.tolist(), plainly=not self.atomic, relaxed=self.relaxed)
        return done

    def atomic_rmw(self, operation: Any, pointers: Array, value: Array, mask: Array, semantics: Any) -> Any:
        at = self._within(pointers, mask, value.dtype.itemsize, "updates")
        if operation == self.native.RMW_OP.XCHG:  # as good as a store
            for byte in range(value.dtype.itemsize):
                self.written[at + byte] = 1
        self._check_written(at, "updates")
        learnt, told = self._meeting(at, semantics)
        self._acquire(learnt)
        self._update(at, value.dtype.itemsize, swap=False)
        if (learnt or told) and at.size == 1 and self.synchronises:
            self.lanes.meet()
        lanes = lanes_of(mask, pointers)
        if lanes.size > 1:
            self.lanes.update(at, lanes)
        atomic = updated(self.native, operation, semantics)
        found = in_any_order(atomic, (pointers, value, lanes), self.synchronises)
        found = np.where(lanes, found, np.zeros_like(found))  # as on an NVIDIA GPU
        self.races.release(told, updating=True)
        if self.waits:
            if self._changes(pointers, found, mask, np.ones(at.shape, bool)):
                self.progress()
            self.look(at, found)
        return found

    def atomic_cas(self, pointers: Array, compare: Array, value: Array, semantics: Any) -> Any:
        at = self._within(pointers, np.ones_like(pointers, dtype=bool), value.dtype.itemsize, "updates")
        self._check_written(at, "updates")
        learnt, told = self._meeting(at, semantics)
        self._acquire(learnt)
        self._update(at, value.dtype.itemsize, swap=self.waits)
        if (learnt or told) and at.size == 1 and self.synchronises:
            self.lanes.meet()
        if pointers.size > 1:
            self.lanes.update(at, np.ones(pointers.shape, bool))
        operands = (pointers, compare, value)
        found = in_any_order(lambda *of: self.native.atomic_cas(*of, semantics), operands, self.synchronises)
        self.races.release(told, updating=True)
        if bool(((found == compare) & (found != value)).any()):
            self.progress()
        self.look(at, found)
        return found

    def _meeting(self, at: Array, semantics: Any) -> list[list[int]]:
        """Places at which this atomic learns what others have done, and at which it tells what came before it."""
        kinds, places = self.native.MEM_SEMANTIC, [] if self.alone else at.tolist()
        return [places if semantics in (kind, kinds.ACQUIRE_RELEASE) else [] for kind in (kinds.ACQUIRE, kinds.RELEASE)]

    def _acquire(self, places: list[int]) -> None:
        if places:
            LOOPS.learn(self.races.me.clock)
        self.races.acquire(places)

    def _update(self, at: Array, itemsize: int, swap: bool) -> None:
        if self.described:
            self.ways.store(at, self.described)
        LOOPS.store(self.iterations, at, self.races.me.program)
        if not self.alone:
            self.races.update(at, swap, itemsize)
            return
        self.races.read(at, itemsize)
        self.races.write(at, lambda lanes: True, itemsize)

    def _within(self, pointers: Array, mask: Array, itemsize: int, verb: str) -> Array:
        """Positions of the active lanes relative to `base`.

        Raises:
            MemoryFaultError: an active lane is outside the launch's buffers, or not where its type may lie.
            HintError: lanes are stored or updated that are not where the kernel has said.
        """
        LOOPS.accesses += 1
        lanes = lanes_of(mask, pointers)
        if verb != "reads" and HINTS.accessed(pointers, lanes, itemsize) is not None:
            raise HintError(
                "tl.max_contiguous is told of lanes that are not contiguous: a GPU stores behind the first of them"
            )
        return positions(pointers[lanes], itemsize, (self.starts, self.ends), self.base, verb)

    def _unset(self, at: Array, pointers: Array, mask: Array) -> Array:
        """Lanes in which nothing has set what they load."""
        unset = np.zeros(pointers.shape, bool)
        unset[lanes_of(mask, pointers)] = self.written[at] == 0
        return unset

    def _elsewhere(self, pointers: Array, mask: Array, itemsize: int) -> Array | None:
        """Where a GPU may load, by hints that are not true. Errors as `_within`."""
        instead = HINTS.accessed(pointers, lanes_of(mask, pointers), itemsize)
        if instead is not None:
            self._within(instead, mask, itemsize, "reads")
        return instead

    def _check_written(self, at: Array, verb: str) -> None:
        """Raises:
        MemoryFaultError: the bytes there hold whatever was there before.
        """
        if not bool(self.written[at].all()):
            raise MemoryFaultError(
                f"a kernel {verb} memory that nothing has set ({int((self.written[at] == 0).sum())} lanes); "
                "torch.empty needs torch.zeros or a store first"
            )

    def _check_agreement(self, pointers: Array, value: Array, mask: Array) -> None:
        """Raises:
        RaceError: lanes of the store that was just done put different values to one address.
        """
        lanes = lanes_of(mask, pointers)
        found = self.native.load(pointers, lanes, np.zeros(pointers.shape, value.dtype), value.dtype)[lanes]
        if found.tobytes() != np.broadcast_to(value, pointers.shape)[lanes].tobytes():
            raise RaceError("one store puts different values to one address: which of them stays is open on a GPU")

    def _changes(self, pointers: Array, value: Array, mask: Array, lanes: Array) -> bool:
        mask = lanes_of(mask, pointers)
        old = self.native.load(pointers, mask, np.zeros(pointers.shape, value.dtype), value.dtype)
        new = np.broadcast_to(value, pointers.shape)
        return bool((old[mask] != new[mask])[lanes].any())

    def _is_flag(self, at: Array, dtype: Any) -> bool:
        """Programs may order themselves by this plain access: a single integer, where kernels wait."""
        return self.waits and at.size == 1 and dtype.kind in "iu"

    def _stale(self, at: int, dtype: Any) -> Any:
        """What a flag held before its last plain store, for the first looks of a program that has no other order with
        that store; else None. Who waits looks again; who counts by plain loads and stores loses an update.
        """
        looks = self.looks.setdefault((self.races.me.program, at), 1 + secrets.randbelow(MAX_STALE))
        segment, old = self.signals.get(at, (0, None))
        if not looks or old is None or old.dtype != dtype or self.races.knows(segment):
            return None
        self.looks[self.races.me.program, at] = looks - 1
        return old
