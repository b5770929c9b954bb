"""Accesses of programs in a given order: which of them race."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest

from sandbox.interpreting.pipelines import Loops
from sandbox.interpreting.races import RaceError, Races, Standpoint

DATA, LOCK, OTHER = 0, 8, 16
SEQUENCES = {
    "1w 1r 1w 1u 1r": None,
    "1r 2r 3r": None,
    "1u 2u 1u": None,
    "1w 2r": "reads",
    "1w 2w": "one writes",
    "1r 2w": "one writes",
    "1r 2r 1w": "one writes",
    "1u 2r": "reads",
    "1u 2u 1r": "reads",
    "1u 2w": "one writes",
    "1w 2u": "updates",
    "1r 2u": "updates",
    "1s 2s 3s": None,
    "1r 2s": None,
    "1w 2s": "updates",
    "1w 2=": None,
    "1w 1L 2L 2r": None,
    "1w 1L 2L 2w 2L 1L 1r": None,
    "1r 1L 2L 2w": None,
    "1u 1L 2L 2r": None,
    "1w 1L 3w": "one writes",
    "1w 2L 1L 2r": "reads",
    "1w 1L 1w 2L 2r": "reads",
    "1w 1L 2O 2r": "reads",
    "1w 1L 2L 2O 3O 3r": None,
    "1u 1L 2u 2L 3L 3r": None,
    "1u 1L 2u 3L 3r": "reads",
    "1r 1L 2r 2L 3L 3w": None,
    "1w 1R 2A 2r": None,
    "1w 1A 2A 2r": "reads",
    "1w 1R 2R 2r": "reads",
    "1w 1R 2R 3A 3r": None,
    "1w 1L 1- 2A 2r": "reads",
    "1w 1L 2- 3A 3r": "reads",
}
"""A number is a program; r reads, w writes, u updates, s swaps, = writes what is there; L, O: an atomic on one of two
other addresses, whose result is used; A, R: one on the first of these that only acquires, or only releases; -: a
relaxed store there."""
CHANGES: dict[str, Callable[[Any], bool]] = {"w": lambda lanes: True, "=": lambda lanes: False}


def replay(sequence: str, synchronises: bool) -> None:
    races = Races(32, 4, synchronises)
    programs: dict[int, Standpoint] = {}
    for word in sequence.split():
        program, action = int(word[0]), word[1]
        if program in programs:
            races.me = programs[program]
        else:
            races.enter(program)
        at = np.array([{"O": OTHER}.get(action, LOCK if action in "LAR-" else DATA)])
        if action == "r":
            races.read(at)
        elif action in "w=":
            races.write(at, CHANGES[action])
        elif action in "us":
            races.update(at, swap=action == "s")
        if action in "LOA":
            races.acquire(at.tolist())
        if action in "LOR-":
            races.release(at.tolist(), updating=True, relaxed=action == "-")
        programs[program] = races.me


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_races_in_a_sequence(sequence: str) -> None:
    said = SEQUENCES[sequence]
    if said is None:
        replay(sequence, synchronises=True)
    else:
        with pytest.raises(RaceError, match=said):
            replay(sequence, synchronises=True)


@pytest.mark.parametrize("sequence", ["1w 1L 2L 2r", "1u 1L 2L 2r"])
def test_where_nobody_looks_at_atomics_they_order_nothing(sequence: str) -> None:
    with pytest.raises(RaceError, match="reads"):
        replay(sequence, synchronises=False)


def test_many_segments() -> None:
    """More than the tables start with."""
    races = Races(32, 2, True)
    races.enter(0)
    for _ in range(5000):
        races.write(np.array([DATA]), lambda lanes: True)
        races.acquire([LOCK])
        races.release([LOCK])
    races.enter(1)
    races.acquire([LOCK])
    races.read(np.array([DATA]))


@pytest.mark.parametrize("first", ["read", "update"])
def test_a_word_is_known_by_all_its_bytes_once_there_are_two_widths(first: str) -> None:
    races, word = Races(35, 3, True), np.array([8])
    races.enter(0)
    if first == "read":
        races.read(word, 4)
    else:
        races.update(word, False, 4)
    races.enter(1)
    races.write(np.array([12, 34]), lambda lanes: True)  # beside it, and in the last bytes of memory
    with pytest.raises(RaceError, match="one writes"):
        races.write(word + 3, lambda lanes: True)
    races.enter(2)
    races.write(word + 8, lambda lanes: True, 8)
    races.enter(0)
    with pytest.raises(RaceError, match="updates"):
        races.update(word + 11, False)


@pytest.fixture
def loops() -> Iterator[Loops]:
    """In place of those of the process."""
    own = Loops()
    with mock.patch("sandbox.interpreting.pipelines.LOOPS", own):
        yield own


def test_what_is_multiplied_comes_from_an_early_load_of_the_same_iteration(loops: Loops) -> None:
    stored, at = np.zeros(8, np.int64), np.arange(4)
    with loops.entered(None) as loop:
        for number in range(3):
            loop.next()
            loops.load(stored, at, 0, 16)
            assert loops.hits == (number > 0)
            loops.store(stored, at, 0)
        early = loops.latest
        loops.multiply([frozenset()])
        with pytest.raises(RaceError, match="iterations overlap"):
            loops.multiply([frozenset(), early])
        loop.next()
        loops.multiply([early])  # it is no longer what this iteration has loaded


@pytest.mark.parametrize(
    ("turns", "known", "accesses", "depth", "ordered"),
    [
        (2, True, 1, 0, True),
        (1, True, 1, 0, False),
        (1, False, 1, 0, True),
        (2, True, 0, 0, False),
        (2, False, 1, 1, False),
    ],
)
def test_which_inner_loop_keeps_iterations_apart(
    loops: Loops, turns: int, known: bool, accesses: int, depth: int, ordered: bool
) -> None:
    with loops.entered(3) as outer:
        outer.next()
        loops.depth = depth
        with loops.entered(None, known=known) as inner:
            for _ in range(turns):
                inner.next()
                loops.accesses += accesses
        assert outer.orders == ordered


def test_a_flattened_loop_is_one_with_the_inner_one(loops: Loops) -> None:
    with loops.entered(None, flattened=True) as outer:
        outer.next()
        with loops.entered(4) as inner:
            assert inner is outer and inner.stages == 4
    assert not loops.around


def test_what_is_learnt_in_a_loop_is_not_loaded_ahead_of_that(loops: Loops) -> None:
    races, at = Races(32, 2, True), np.array([DATA])
    races.enter(0)
    races.write(at, lambda lanes: True, 4)
    races.release([LOCK])
    races.enter(1)
    with loops.entered(2) as loop:
        loop.next()
        loops.learn(races.me.clock)
        races.acquire([LOCK])
        races.read(at, 4)
        with loops.branch():
            loops.load(np.zeros(32, np.int64), at, 1, 4, lambda knew: races.learnt(at, knew))
        with pytest.raises(RaceError, match="wait in a branch"):
            loops.load(np.zeros(32, np.int64), at, 1, 4, lambda knew: races.learnt(at, knew))
    with loops.entered(2) as loop:
        loop.next()
        loops.learn(races.me.clock)
        loops.load(np.zeros(32, np.int64), at, 1, 4, lambda knew: races.learnt(at, knew))
