"""KernelBench's scores of a judged evaluation, by level, with and without the items that tell little."""

from collections.abc import Iterable

from eval.benchmarks.formulas import fast_ps, geometric_mean_speedup
from eval.benchmarks.kernelbench import LEVELS, KernelBenchItem
from eval.samples import Sample
from sandbox.types import Passed, Record, Rejected


class Speed(Record):
    """Against one baseline. Right answers that were not timed are not in it."""

    problems: int
    fast_p: dict[float, float]
    geometric_mean_speedup: float
    """Over right answers."""


class Score(Record):
    """One level, or a part of it."""

    problems: int
    """Judged or unanswered ones; Broken verdicts are our fault, and count nowhere."""
    right: int
    speed: dict[str, Speed]
    """By baseline; {} where nothing was timed."""


def scores(items: Iterable[KernelBenchItem], samples: Iterable[Sample], unanswered: Iterable[str]) -> dict[str, Score]:
    """By `level1`, …, and by `level1 without marked` of the items that no list of `eval.benchmarks.kernelbench` names.

    Args:
        samples: the first of each problem is scored, as upstream does.
        unanswered: ids of problems that count as wrong.
    """
    first: dict[str, Sample] = {}
    for sample in sorted(samples, key=lambda sample: sample.key):
        first.setdefault(sample.task_id, sample)
    verdicts: dict[str, Passed | Rejected | None] = dict.fromkeys(unanswered)
    verdicts |= {
        task: sample.verdict for task, sample in first.items() if isinstance(sample.verdict, Passed | Rejected)
    }
    counted = [item for item in items if item.id in verdicts]
    found = {}
    for level in LEVELS:
        group = [item for item in counted if item.level == level]
        plain = [item for item in group if not item.marks]
        for name, part in ((f"level{level}", group), (f"level{level} without marked", plain)):
            if part:
                found[name] = _score([verdicts[item.id] for item in part])
    return found


def _score(verdicts: list[Passed | Rejected | None]) -> Score:
    right = [verdict for verdict in verdicts if isinstance(verdict, Passed)]
    baselines = sorted({timing.baseline for verdict in right for timing in verdict.timings or ()})
    return Score(
        problems=len(verdicts),
        right=len(right),
        speed={baseline: _speed(_ratios(right, baseline), len(verdicts) - len(right)) for baseline in baselines},
    )


def _ratios(right: Iterable[Passed], baseline: str) -> list[float]:
    """One a right answer: where several cases are timed, their geometric mean."""
    by_case = ([timing.ratio for timing in one.timings or () if timing.baseline == baseline] for one in right)
    return [geometric_mean_speedup(ratios) for ratios in by_case if ratios]


def _speed(ratios: list[float], wrong: int) -> Speed:
    speedups = [*ratios, *[None] * wrong]
    return Speed(
        problems=len(speedups), fast_p=fast_ps(speedups), geometric_mean_speedup=geometric_mean_speedup(ratios)
    )
