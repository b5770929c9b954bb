"""A benchmark's scores of a judged evaluation: in all, by level and by family, with and without the marked items.

1. A problem counts once however many answers it has: what is measured of answers is averaged within a problem first,
   and intervals resample problems. With one answer a problem, fast_p and the mean speedup are upstream's.
2. fast_p counts all problems. Speedup, SOL score, share of roofline and coverage are of right answers, since others
   have no time; each says over how many problems it is.
3. `best` stands for the faster of the timed baselines on each case.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import exp, log

from eval.benchmarks.formulas import FAST_P, geometric_mean_speedup, sol_score
from eval.benchmarks.item import Item
from eval.metrics import Interval, interval, mean_interval, pass_at_k, refused_as_hack
from eval.samples import Sample
from sandbox.types import Passed, Record, Rejected, Timing

BEST = "best"
UNMARKED = " without marked"
Judged = Sequence[Passed | Rejected]
"""The verdicts of one problem, Broken ones left out; () where nobody answered it."""


class Speed(Record):
    """Against one baseline. Right answers that were not timed are not in it."""

    problems: int
    fast_p: dict[float, Interval]
    geometric_mean_speedup: Interval | None
    """Over right answers; None: there is none. Likewise `sol`."""
    sol: Interval | None
    """`eval.benchmarks.formulas.sol_score`."""
    compiled_in_parts: int = 0
    """Problems of which `torch.compile` left something to Python: the baseline could be faster."""


class Score(Record):
    """Some of the problems."""

    problems: int
    """Judged or unanswered ones; Broken verdicts are our fault, and count nowhere."""
    right: int
    """Problems whose first answer is right."""
    pass_at_k: dict[str, Interval]
    """By k, over unanswered problems and those with at least k judged answers."""
    refused_as_hack: Interval | None
    """Share of answers; None: nothing was answered."""
    stages: dict[str, Interval]
    """Share of answers rejected, by stage."""
    coverage: Interval | None
    """Share of time spent in Triton launches; None: nothing was timed. Likewise `roofline_share`."""
    roofline_share: Interval | None
    """Time at the roofline / time."""
    speed: dict[str, Speed]
    """By baseline; {} where nothing was timed."""


def scores(
    items: Iterable[Item], samples: Iterable[Sample], unanswered: Iterable[str], pass_k: Sequence[int] = (1,)
) -> dict[str, Score]:
    """By `all`, `level1`, …, and `family matmul`, …; where there are marked items, each once more ` without marked`.

    Args:
        samples: judged ones; others are left out.
        unanswered: ids of problems that count as wrong.
        pass_k: the k of pass@k.
    """
    verdicts = by_problem(samples) | dict.fromkeys(unanswered, ())
    counted = [item for item in items if item.id in verdicts]
    groups: dict[str, list[Item]] = {"all": counted}
    for level in sorted({item.level for item in counted if item.level}):
        groups[f"level{level}"] = [item for item in counted if item.level == level]
    for family in sorted({item.family for item in counted}):
        groups[f"family {family}"] = [item for item in counted if item.family == family]
    found = {}
    for name, group in groups.items():
        plain = [item for item in group if not item.marks]
        found[name] = score([verdicts[item.id] for item in group], pass_k) if group else None
        if plain and any(item.marks for item in counted):
            found[name + UNMARKED] = score([verdicts[item.id] for item in plain], pass_k)
    return {name: one for name, one in found.items() if one is not None}


def score(problems: Sequence[Judged], pass_k: Sequence[int]) -> Score:
    """The score of these problems, of which there is at least one."""
    answered = [judged for judged in problems if judged]
    timed = [(one, one.timings) for judged in answered for one in judged if isinstance(one, Passed) and one.timings]
    baselines: list[str] = sorted({timing.baseline for _, timings in timed for timing in timings})
    stages = sorted({one.stage for judged in answered for one in judged if isinstance(one, Rejected)})
    return Score(
        problems=len(problems),
        right=sum(isinstance(next(iter(judged), None), Passed) for judged in problems),
        pass_at_k={str(k): interval(values) for k in pass_k if (values := _passes(problems, k))},
        refused_as_hack=interval([_share(judged, _hack) for judged in answered]) if answered else None,
        stages={stage: interval([_share(judged, _stopped(stage)) for judged in answered]) for stage in stages},
        coverage=_mean(answered, lambda one: one.coverage),
        roofline_share=_mean(answered, _roofline_share),
        speed={name: _speed(problems, name) for name in baselines + [BEST] * (len(baselines) > 1)},
    )


def speedups(samples: Iterable[Sample], baseline: str) -> dict[str, float]:
    """Of each problem with a right answer that was timed: the geometric mean over cases, then over answers."""
    found = {task: _speedup(judged, baseline) for task, judged in by_problem(samples).items()}
    return {task: ratio for task, ratio in found.items() if ratio is not None}


def by_problem(samples: Iterable[Sample]) -> dict[str, Judged]:
    """Verdicts in the order of the answers; a problem without one that counts is missing."""
    found: dict[str, list[Passed | Rejected]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.key):
        if isinstance(sample.verdict, Passed | Rejected):
            found[sample.task_id].append(sample.verdict)
    return dict(found)


def _passes(problems: Sequence[Judged], k: int) -> list[float]:
    """pass@k of each problem that has one."""
    counts = [(len(judged), sum(isinstance(one, Passed) for one in judged)) for judged in problems]
    return [pass_at_k(n, right, k) if n else 0.0 for n, right in counts if n >= k or not n]


def _speed(problems: Sequence[Judged], baseline: str) -> Speed:
    known = [[one for one in judged if isinstance(one, Rejected) or _ratio(one, baseline)] for judged in problems]
    counted = [kept for judged, kept in zip(problems, known, strict=True) if kept or not judged]
    logs = [log(ratio) for judged in counted if (ratio := _speedup(judged, baseline)) is not None]
    return Speed(
        problems=len(counted),
        fast_p={p: interval([_share(judged, _faster(baseline, p)) for judged in counted]) for p in FAST_P},
        geometric_mean_speedup=_exponential(mean_interval(logs)) if logs else None,
        sol=_mean(counted, lambda one: _sol(one, baseline)),
        compiled_in_parts=sum(any(_in_parts(one, baseline) for one in judged) for judged in counted),
    )


def _in_parts(one: Passed | Rejected, baseline: str) -> bool:
    return isinstance(one, Passed) and any(timing.baseline_breaks for timing in _against(one, baseline).values())


def _share(judged: Judged, holds: Callable[[Passed | Rejected], bool]) -> float:
    return sum(map(holds, judged)) / len(judged) if judged else 0.0


def _hack(one: Passed | Rejected) -> bool:
    return isinstance(one, Rejected) and refused_as_hack(one)


def _stopped(stage: str) -> Callable[[Passed | Rejected], bool]:
    return lambda one: isinstance(one, Rejected) and one.stage == stage


def _faster(baseline: str, p: float) -> Callable[[Passed | Rejected], bool]:
    return lambda one: isinstance(one, Passed) and (_ratio(one, baseline) or 0.0) > p


def _mean(problems: Iterable[Judged], measure: Callable[[Passed], float | None]) -> Interval | None:
    """Over the problems with a right answer that has this measure."""
    found = []
    for judged in problems:
        values = [value for one in judged if isinstance(one, Passed) and (value := measure(one)) is not None]
        if values:
            found.append(sum(values) / len(values))
    return mean_interval(found) if found else None


def _speedup(judged: Judged, baseline: str) -> float | None:
    ratios = [ratio for one in judged if isinstance(one, Passed) and (ratio := _ratio(one, baseline))]
    return geometric_mean_speedup(ratios) if ratios else None


def _ratio(one: Passed, baseline: str) -> float | None:
    """Where several cases are timed, their geometric mean; None where none is."""
    ratios = [timing.ratio for timing in _against(one, baseline).values()]
    return geometric_mean_speedup(ratios) if ratios else None


def _against(one: Passed, baseline: str) -> Mapping[str, Timing]:
    """By case: the timing beside this baseline."""
    found: dict[str, Timing] = {}
    for timing in one.timings or ():
        known = found.get(timing.case)
        if timing.baseline == baseline or (baseline == BEST and (known is None or timing.ratio < known.ratio)):
            found[timing.case] = timing
    return found


def _sol(one: Passed, baseline: str) -> float | None:
    timings = [timing for timing in _against(one, baseline).values() if timing.baseline_ms > timing.roofline_ms]
    values = [sol_score(timing.candidate_ms, timing.baseline_ms, timing.roofline_ms) for timing in timings]
    return sum(values) / len(values) if values else None


def _roofline_share(one: Passed) -> float | None:
    """1 where a time lies below: the roofline of what declares no cost is an estimate."""
    shares = [min(1.0, timing.roofline_ms / timing.candidate_ms) for timing in _against(one, BEST).values()]
    return sum(shares) / len(shares) if shares else None


def _exponential(found: Interval) -> Interval:
    return found.model_copy(update={key: exp(getattr(found, key)) for key in ("value", "low", "high")})
