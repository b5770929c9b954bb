"""From samples to a ratio: intervals that cover the truth, roofline and floors."""

import itertools
import random
import statistics
import time

import pytest

from sandbox.judging import timing
from sandbox.judging.timing import Cost
from sandbox.types import Machine

MACHINE = Machine(bytes_per_ms=4e9, flops_per_ms=1e12)


def noisy(median: float, spread: float, count: int, generator: random.Random) -> list[float]:
    return [median * (1 + generator.gauss(0, spread)) for _ in range(count)]


def test_interval_covers_the_true_ratio_about_as_often_as_it_says() -> None:
    generator = random.Random(0)
    covered = 0
    for _ in range(100):
        found = timing.compare(noisy(1.0, 0.01, 30, generator), noisy(1.3, 0.01, 30, generator))
        covered += found.ratio_low <= 1.3 <= found.ratio_high
    assert 88 <= covered <= 100


def test_ratio_is_baseline_over_candidate() -> None:
    found = timing.compare([2.0] * 5, [3.0] * 5)
    assert found.ratio == 1.5
    width = 1.96 * timing.PLACEMENT_SHARE * 1.5
    assert (found.ratio_low, found.ratio_high) == (pytest.approx(1.5 - width), pytest.approx(1.5 + width))
    assert (found.candidate_ms, found.baseline_ms) == (2.0, 3.0)


def test_one_outlier_does_not_move_the_ratio() -> None:
    calm = timing.compare([1.0, 1.01, 0.99, 1.0, 1.0], [2.0, 2.01, 1.99, 2.0, 2.0])
    burst = timing.compare([1.0, 1.01, 0.99, 50.0, 1.0], [2.0, 2.01, 1.99, 2.0, 2.0])
    assert burst.ratio == calm.ratio


def test_every_round_samples_everything_once_and_warm_rounds_do_not_count() -> None:
    calls = {"candidate": 0, "baseline": 0}

    def sampler(name: str) -> float:
        calls[name] += 1
        return float(calls[name])

    timed, samples = timing.interleave(lambda: sampler("candidate"), {"eager": lambda: sampler("baseline")}, 10)
    assert timed == samples["eager"] == [timing.WARM_ROUNDS + n for n in range(1, 11)]


def test_a_slow_baseline_sits_out_rounds_and_is_compared_over_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "BASELINE_SECONDS", 0.05)
    rounds = itertools.count()
    timed, samples = timing.interleave(lambda: float(next(rounds)), {"eager": lambda: time.sleep(0.005) or 60.0}, 30)
    took_part = [number for number, value in enumerate(samples["eager"]) if value == value]
    assert len(timed) == len(samples["eager"]) == 30 and 7 <= len(took_part) <= 10 and took_part[0] == 0
    assert max(b - a for a, b in itertools.pairwise(took_part)) <= 5
    found = timing.compare(timed, samples["eager"])
    assert found.samples == len(took_part) and found.baseline_ms == 60.0
    assert found.candidate_ms == statistics.median(timed[number] for number in took_part)
    few = timing.interleave(lambda: 1.0, {"eager": lambda: time.sleep(0.06) or 1.0}, 3)[1]["eager"]
    assert few == [1.0, 1.0, 1.0]  # never fewer than the fewest, or than there are


@pytest.mark.parametrize(
    ("moved", "flops", "expected"), [(8e9, 1e9, (2.0, "bytes")), (4e6, 3e12, (3.0, "flops"))], ids=["bytes", "flops"]
)
def test_roofline_names_what_limits(moved: float, flops: float, expected: tuple[float, str]) -> None:
    cost = Cost(bytes=moved, flops=flops, declared=True, output_bytes=1.0)
    assert timing.roofline(cost, MACHINE) == expected


def test_undeclared_inputs_do_not_raise_the_floor() -> None:
    """A gather reads a small part of a large table: only what must be written counts against it."""
    gather = Cost(bytes=8e9, flops=0.0, declared=False, output_bytes=4e6)
    assert timing.floor_ms(gather, MACHINE) == pytest.approx(0.25e-3)
    assert timing.floor_ms(gather.model_copy(update={"declared": True}), MACHINE) == pytest.approx(1.0)
