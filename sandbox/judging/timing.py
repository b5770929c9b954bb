"""From samples to a ratio that can be trusted: interleaving, medians, a bootstrap interval, and the roofline."""

import math
import random
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from sandbox.types import Baseline, Machine, Record

WARM_ROUNDS = 2
BASELINE_SECONDS, FEWEST_SAMPLES = 2.0, 7
"""All samples of a baseline take no longer than this where there are more of them; long samples are steady ones."""
RESAMPLES = 2000
CONFIDENCE = 0.95
PLACEMENT_SHARE = 0.003
"""Standard deviation of a ratio that comes from where in memory the two sides' tensors lie. No number of samples can
average it out, so intervals are widened by it. `python -m sandbox bench fidelity` measures it
(`ratio_deviation_percent`)."""
DECLARED_FLOOR, OUTPUT_FLOOR = 0.5, 0.25
"""Below this share of the roofline a time is not believed: half of what the task declares, or a quarter of what merely
writing the outputs takes (the L2 cache can take writes faster than memory)."""


class Cost(Record):
    """What one evaluation must at least do."""

    bytes: float
    flops: float
    declared: bool
    """By the task; otherwise inputs and outputs are counted once."""
    output_bytes: float


class Ratio(Record):
    """Two medians and how they compare."""

    candidate_ms: float
    baseline_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    samples: int


def interleave(
    candidate: Callable[[], float], baselines: dict[Baseline, Callable[[], float]], runs: int
) -> tuple[list[float], dict[Baseline, list[float]]]:
    """`runs` rounds of one sample each in random order, after a few that do not count. Values in ms; NaN in the rounds
    that a slow baseline sits out, evenly spread.
    """
    timed: list[float] = []
    samples: dict[Baseline, list[float]] = {name: [] for name in baselines}
    rounds = dict.fromkeys(baselines, runs)
    order: list[Baseline | None] = [None, *baselines]
    for number in range(-WARM_ROUNDS, runs):
        random.shuffle(order)
        for name in order:
            if name is None:
                timed.append(candidate())
            elif number < 0:
                started = time.perf_counter()
                baselines[name]()
                rounds[name] = _rounds(time.perf_counter() - started, runs)
            elif number * rounds[name] // runs > (number - 1) * rounds[name] // runs:
                samples[name].append(baselines[name]())
            else:
                samples[name].append(math.nan)
    return timed[WARM_ROUNDS:], samples


def _rounds(seconds: float, runs: int) -> int:
    """Of how many rounds out of `runs` a baseline is part whose samples take so long."""
    return min(runs, max(FEWEST_SAMPLES, int(BASELINE_SECONDS / max(seconds, 1e-9))))


def compare(candidate: list[float], baseline: list[float]) -> Ratio:
    """Medians and their ratio, over the rounds that the baseline was part of. The interval is a percentile bootstrap
    over rounds (paired), and in quadrature what the placement of tensors adds.
    """
    took_part = ~np.isnan(baseline)
    pairs = (np.asarray(baseline)[took_part], np.asarray(candidate)[took_part])
    medians = [float(np.median(values)) for values in pairs]
    if all(np.ptp(values) == 0 for values in pairs):
        low = high = medians[0] / medians[1]
    else:
        found = stats.bootstrap(
            pairs, _ratio, paired=True, vectorized=True, n_resamples=RESAMPLES, confidence_level=CONFIDENCE,
            method="percentile",
        ).confidence_interval  # fmt: skip
        low, high = float(found.low), float(found.high)
    ratio = medians[0] / medians[1]
    placement = stats.norm.ppf((1 + CONFIDENCE) / 2) * PLACEMENT_SHARE * ratio
    return Ratio(
        candidate_ms=medians[1], baseline_ms=medians[0], ratio=ratio,
        ratio_low=ratio - math.hypot(ratio - low, placement), ratio_high=ratio + math.hypot(high - ratio, placement),
        samples=len(pairs[0]),
    )  # fmt: skip


def _ratio(baseline: npt.NDArray[Any], candidate: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    quotient: npt.NDArray[Any] = np.median(baseline, axis=axis) / np.median(candidate, axis=axis)
    return quotient


def roofline(cost: Cost, machine: Machine) -> tuple[float, Literal["bytes", "flops"]]:
    """The least time in ms, and what limits it."""
    by_bytes, by_flops = cost.bytes / machine.bytes_per_ms, cost.flops / machine.flops_per_ms
    return (by_bytes, "bytes") if by_bytes >= by_flops else (by_flops, "flops")


def floor_ms(cost: Cost, machine: Machine) -> float:
    """A time below this is tampering, not speed."""
    declared = DECLARED_FLOOR * roofline(cost, machine)[0] if cost.declared else 0.0
    return max(declared, OUTPUT_FLOOR * cost.output_bytes / machine.bytes_per_ms)
