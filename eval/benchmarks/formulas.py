"""The two benchmarks' scores, as upstream computes them, and what we publish beside them. Pure functions.

1. KernelBench: fast_p of Ouyang et al. 2025 (arXiv 2502.10517, section 3), and the geometric mean speedup. pass@k is
   `eval.metrics.pass_at_k`.
2. TritonBench: speedup and efficiency of Li et al. 2025 (arXiv 2502.14752), with upstream's rounding and its rules for
   dropping operators, which its tables depend on. Efficiency is a share of an A100's peaks on whatever GPU it is run.
"""

from collections.abc import Iterable, Sequence
from math import exp, log
from typing import Any, Literal

from pydantic import Field

from sandbox.types import Record

FAST_P = (0.0, 0.5, 0.8, 1.0, 1.2, 1.5, 2.0, 4.0)
A100_GB_PER_SECOND = 2039.0
A100_TFLOPS = 312.0


class Measurement(Record):
    """One input size of an operator, as TritonBench's scripts write it; a result file is a list of these."""

    input_size: Any
    """Nested lists of shapes."""
    ms: float
    gb_per_second: float = Field(alias="GB/s")
    tflops: float = Field(alias="TFLOPS")


class Performance(Record):
    """One operator of TritonBench."""

    speedup: float
    efficiency: float
    """Percent."""


class Summary(Record):
    """Means over the operators that upstream's rules keep."""

    speedup: float | None
    """None: no operator was kept."""
    efficiency: float | None
    kept: int
    dropped: tuple[str, ...]
    """Operators, in order."""


def fast_p(speedups: Sequence[float | None], p: float) -> float:
    """Share of all problems that are right and more than p times as fast as the baseline.

    |{i: right, baseline_i / time_i > p}| / n. Fixed points: p = 0 → share of right answers; a speedup of exactly p does
    not count; nothing right → 0.

    Args:
        speedups: baseline time / time of each problem; None: not right.
        p: the threshold.

    Raises:
        ValueError: there is no problem.
    """
    if not speedups:
        raise ValueError("fast_p needs at least one problem")
    return sum(speedup is not None and speedup > p for speedup in speedups) / len(speedups)


def fast_ps(speedups: Sequence[float | None]) -> dict[float, float]:
    """fast_p for every p of `FAST_P`; never rises with p. Errors as `fast_p`."""
    return {p: fast_p(speedups, p) for p in FAST_P}


def geometric_mean_speedup(speedups: Iterable[float | None]) -> float:
    """Geometric mean over the right answers, slower ones too. Fixed points: all as fast as the baseline → 1; twice and
    half as fast → 1; nothing right → 0, as upstream has it."""
    right = [speedup for speedup in speedups if speedup is not None]
    return exp(sum(map(log, right)) / len(right)) if right else 0.0


def sol_score(ms: float, baseline_ms: float, roofline_ms: float) -> float:
    """How far from the baseline to the roofline ("speed of light"): 1 / (1 + (t - t_sol) / (t_base - t_sol)).

    Fixed points: t = t_sol → 1; t = t_base → 1/2; t → ∞ → 0. A time below the roofline, which only a wrong roofline or
    a wrong clock can give, counts as the roofline.

    Raises:
        ValueError: the baseline is not slower than the roofline, so that there is nothing to measure against.
    """
    if baseline_ms <= roofline_ms:
        raise ValueError(f"the baseline's {baseline_ms} ms are not above the roofline's {roofline_ms} ms")
    return 1 / (1 + max(0.0, ms - roofline_ms) / (baseline_ms - roofline_ms))


def accuracy(right: int, operators: int) -> float:
    """Call or execution accuracy in percent, two decimals: 100 · right / operators.

    Raises:
        ValueError: there is no operator.
    """
    if operators < 1:
        raise ValueError("an accuracy needs at least one operator")
    return round(100 * right / operators, 2)


def speedup(gold: Sequence[Measurement], candidate: Sequence[Measurement]) -> float:
    """Σ ms of the gold code / Σ ms of the candidate over the same input sizes, four decimals.

    A ratio of sums: large inputs decide. Fixed point: the gold against itself → 1. T may lack input sizes: where the
    numbers differ, only the gold's with the same sizes count (`same_sizes`).
    """
    return round(sum(one.ms for one in gold) / sum(one.ms for one in candidate), 4)


def same_sizes(gold: Sequence[Measurement], candidate: Sequence[Measurement]) -> list[Measurement]:
    """The gold's measurements that count beside `candidate`: all where there are as many, else those of its sizes."""
    if len(gold) == len(candidate):
        return list(gold)
    sizes = [one.input_size for one in candidate]
    return [one for one in gold if one.input_size in sizes]


def efficiency(measurements: Sequence[Measurement]) -> float:
    """Best share of an A100's peak over the input sizes, in percent.

    max(max GB/s · 100 / 2039, max TFLOPS · 100 / 312), each to four decimals. Fixed point: 2039 GB/s → 100,
    whatever the GPU.
    """
    bandwidth = max(one.gb_per_second for one in measurements) * 100 / A100_GB_PER_SECOND
    compute = max(one.tflops for one in measurements) * 100 / A100_TFLOPS
    return max(round(bandwidth, 4), round(compute, 4))


def keeps(half: Literal["G", "T"], performance: Performance) -> bool:
    """Whether upstream counts an operator.

    G drops it at an efficiency of 100 or a speedup of 10 and above; T at a speedup of 10 and above, or of 0.1 and
    below, whatever its efficiency.
    """
    if half == "G":
        return performance.efficiency < 100 and performance.speedup < 10
    return 0.1 < performance.speedup < 10


def summarise(half: Literal["G", "T"], operators: dict[str, Performance]) -> Summary:
    """Arithmetic means, two decimals, over what upstream keeps; upstream publishes no efficiency of T."""
    kept = [performance for performance in operators.values() if keeps(half, performance)]
    return Summary(
        speedup=_mean([one.speedup for one in kept]),
        efficiency=_mean([one.efficiency for one in kept]) if half == "G" else None,
        kept=len(kept),
        dropped=tuple(name for name, performance in operators.items() if not keeps(half, performance)),
    )


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None
