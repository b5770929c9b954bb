"""Views that share bytes, against all their elements counted out."""

import itertools
import random

import pytest

from sandbox.plans.overlap import MOST_STEPS, MOST_STEPS_IN_ALL, Overlaps
from sandbox.plans.plan import DTYPES, View


def bytes_of(view: View) -> list[set[int]]:
    size = DTYPES[view.dtype]
    found = []
    for index in itertools.product(*map(range, view.shape)):
        first = (view.offset + sum(i * stride for i, stride in zip(index, view.strides, strict=True))) * size
        found.append(set(range(first, first + size)))
    return found


def drawn(source: random.Random) -> View:
    rank = source.randint(0, 3)
    shape = [source.randint(0, 5) for _ in range(rank)]
    strides = [source.choice((0, 1, 2, 3, 5, 8, 15)) for _ in range(rank)]
    dtype = source.choice(("float32", "int8", "float16"))
    return View(buffer=0, dtype=dtype, shape=shape, strides=strides, offset=source.randint(0, 12))


@pytest.mark.parametrize("seed", range(40))
def test_as_counted_out(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(50):
        one, other = drawn(source), drawn(source)
        ours, theirs = bytes_of(one), bytes_of(other)
        asked = Overlaps()
        assert asked.overlap(one, other) == bool(set().union(*ours) & set().union(*theirs)), (one, other)
        assert asked.overlaps_itself(one) == (sum(map(len, ours)) > len(set().union(*ours))), one


def test_large_views_take_no_time() -> None:
    def view(offset: int, columns: int = 4096) -> View:
        return View(buffer=0, dtype="float32", shape=[1 << 20, columns], strides=[8192, 1], offset=offset)

    asked = Overlaps()
    assert not asked.overlap(view(0), view(4096)) and asked.overlap(view(0), view(4095))
    assert asked.overlap(view(0), view(8192 << 19))
    assert not asked.overlaps_itself(view(0)) and asked.overlaps_itself(view(0, columns=8193))


def test_a_plan_has_one_budget_and_nothing_is_asked_twice() -> None:
    strides = [1004390, 1004571, 1006463, 1017748, 1023276, 1027695, 1028998, 1033441, 1038707, 1043046, 1048807]

    def view(more: int) -> View:
        return View(buffer=0, dtype="uint8", shape=[2] * 11, strides=[stride + more for stride in strides], offset=0)

    asked = Overlaps()
    assert not asked.overlaps_itself(view(0))
    spent = MOST_STEPS_IN_ALL - asked.left
    assert MOST_STEPS < spent < MOST_STEPS_IN_ALL
    for _ in range(1000):
        asked.overlaps_itself(view(0))
    assert asked.left == MOST_STEPS_IN_ALL - spent
    with pytest.raises(ValueError, match="too long"):
        for more in range(1000):
            asked.overlaps_itself(view(more))
