"""What a candidate's Python may ask that is chance: random numbers, clocks, hashes. Runs in the tracer.

Two children that trace one candidate must write the same plan. A die that falls alike in nearly all calls would do so
too, so chance has two sides, and every child has one: what is drawn first is as small as can be in one and as great as
can be in the other, and clocks first read the beginning or the end of a period. Whatever has been seeded is no chance
and gives what it always gives. After some draws numbers are like any others, so that no loop waits for ever.
Not covered: generators made without a seed (`random.Random()`, `PCG64()`) draw as they do elsewhere; sets of text have
one order in all children of a zygote; addresses are mostly alike.
"""

import datetime as dates
import functools
import itertools
import os
import random
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import numpy as np
import torch

SMALL, GREAT, TOP = 0x1000, 0xFFFFFFFF, 1 << 32
"""Not 0, whose logarithm a candidate may take; alike in high bits and low ones, of which either may be used."""
BLOCKS, EQUAL, FALLING = 5, 24, 64
"""Of great words: some that are so, then ever smaller ones, for those who pass over what is too great for them."""
STATE = 624  # words of a Mersenne twister
DRAWS = 16
"""So often the system's randomness is of one side."""
MOMENTS = (
    int(dates.datetime(2001, 1, 1, tzinfo=dates.UTC).timestamp()),
    int(dates.datetime(2030, 12, 31, 23, 58, 59, tzinfo=dates.UTC).timestamp()),
)
RUNNING = (1000, 10**6 - 1)
"""Seconds that clocks begin with; they are followed by noughts or nines."""
TICKS = (2**-10, 3600.0)
"""A clock goes on by so much whenever it is read, and at no other time: who times his own choices finds them alike, to
the last bit.
"""
PARTS = 64 * 9 * 25 * 7 * 11 * 13
"""What remainders are usually taken by are divisors of it."""
TOP_SEED = 1 << 53
"""What torch draws as a seed is less."""
_DATED = (time.CLOCK_REALTIME, time.CLOCK_TAI)
_CLOCKS = {"time": MOMENTS, **dict.fromkeys(("monotonic", "perf_counter", "process_time", "thread_time"), RUNNING)}


def prepare() -> None:
    """What all children need, in the process that they are forked from; NumPy loads its random numbers when asked."""
    np.random.get_state()
    for side in (0, 1):
        _words(side)


def take_side(side: int) -> None:
    """This process has chance's side 0 or 1 from now on. For good."""
    words = _words(side)
    random.setstate((3, (*words, 0), None))
    _of_numpy(words)
    _of_system(side)
    _of_torch(side)
    for name, starts in _CLOCKS.items():
        read, read_ns = _clock(starts[side], side)
        setattr(time, name, read)
        setattr(time, f"{name}_ns", read_ns)
    _tell_time()


def name_hash(names: MutableMapping[str, Any], side: int) -> None:
    """A module's `hash` of text, another in every process, has the least or the greatest remainder of each side."""

    def of_side(value: Any) -> int:
        own = hash(value)
        return (abs(own) // PARTS * PARTS + side) * (-1) ** side if type(value) in (str, bytes) else own

    names["hash"] = of_side


@functools.cache
def _words(side: int) -> list[int]:
    """A twister's state that begins with words of a side."""
    falling = [GREAT - number * (TOP // (2 * FALLING) + 1) for number in range(FALLING)]
    chosen = ([*[GREAT] * EQUAL, *falling] if side else [SMALL] * (EQUAL + FALLING)) * BLOCKS
    others = random.Random(side)
    return [_untempered(word) for word in (*chosen, *(others.getrandbits(32) for _ in range(STATE - len(chosen))))]


def _untempered(word: int) -> int:
    """What a twister has in its state where it gives `word`."""
    word ^= word >> 18
    word ^= word << 15 & 0xEFC60000
    low = word
    for _ in range(5):
        low = word ^ (low << 7 & 0x9D2C5680)
    high = low
    for _ in range(3):
        high = low ^ high >> 11
    return high


def _of_numpy(words: list[int]) -> None:
    """Its one generator, and those that are made without a seed."""
    state: Any = {"bit_generator": "MT19937", "state": {"key": np.array(words, np.uint32), "pos": 0}}
    np.random.set_state(state)
    seeded = np.random.default_rng

    def default_rng(seed: Any = None) -> np.random.Generator:
        if seed is not None:
            return seeded(seed)
        bits = np.random.MT19937(0)
        bits.state = state
        return np.random.Generator(bits)

    np.random.default_rng = default_rng


def _of_system(side: int) -> None:
    """`os.urandom`, and what `random.SystemRandom` and `secrets` make of it."""
    real, byte, left = os.urandom, bytes([255 * side]), iter(range(DRAWS))

    def urandom(size: int) -> bytes:
        drawn = real(size)
        if next(left, None) is None:
            return drawn
        return byte * size if size < 8 else byte * 2 + drawn[2:-2] + byte * 2

    def below(system: random.SystemRandom, n: int) -> int:
        return (n - 1) * side

    os.urandom = urandom
    os.getrandom = lambda size, flags=0: urandom(size)
    random._urandom = urandom  # type: ignore[attr-defined]  # what it has imported
    random.SystemRandom._randbelow = below  # type: ignore[attr-defined]  # all its integers come from there


def _of_torch(side: int) -> None:
    """Seeds that it draws from the system have the least or the greatest remainder of each side."""
    least, left = (TOP_SEED // PARTS * PARTS - 1 if side else PARTS), iter(range(DRAWS))

    class Generator(torch.Generator):
        def seed(self) -> int:
            return super().seed() if next(left, None) is None else self.manual_seed(least).initial_seed()

    torch.Generator = torch._C.Generator = Generator  # type: ignore[misc]  # a class of a module, replaced
    for module in (torch, torch.random, torch._C):
        vars(module)["default_generator"] = Generator()


def _clock(start: int, side: int) -> tuple[Callable[[], float], Callable[[], int]]:
    """In seconds and in nanoseconds, whose ticks are a little longer: their digits below milliseconds stay."""
    passed, tick = itertools.count(), TICKS[side]
    first, first_ns = start + side * (1 - 2**-20), start * 10**9 + side * (10**9 - 1)
    tick_ns = round(tick * 1000) * 10**6
    return lambda: first + next(passed) * tick, lambda: first_ns + next(passed) * tick_ns


def _tell_time() -> None:
    """What tells the present time by itself asks our clock."""
    for name in ("gmtime", "localtime", "ctime"):
        told = getattr(time, name)
        setattr(time, name, lambda at=None, told=told: told(time.time() if at is None else at))
    time.clock_gettime = lambda clock: time.time() if clock in _DATED else time.monotonic()
    time.clock_gettime_ns = lambda clock: time.time_ns() if clock in _DATED else time.monotonic_ns()
    times = type(os.times())
    os.times = lambda: times((*[time.process_time()] * 4, time.monotonic()))
    written, text = time.strftime, time.asctime
    time.strftime = lambda form, *at: written(form, *(at or (time.localtime(),)))
    time.asctime = lambda *at: text(*(at or (time.localtime(),)))
    dates.datetime, dates.date = _Moment, _Day  # type: ignore[misc]  # classes of a module, replaced


class _Kind(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, cls.__mro__[1])


class _Moment(dates.datetime, metaclass=_Kind):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return super().fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return super().fromtimestamp(time.time(), dates.UTC).replace(tzinfo=None)

    today = now


class _Day(dates.date, metaclass=_Kind):
    @classmethod
    def today(cls) -> Any:
        return super().fromtimestamp(time.time())
