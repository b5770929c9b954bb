"""What the verdicts of an evaluation add up to. Pure functions; no files, no models.

1. pass@k is the unbiased estimator of Chen et al. 2021 (arXiv 2107.03374, section 2.1).
2. Intervals are 95 % bootstrap percentile intervals over *tasks*, not samples: samples of one task are not independent.
3. Differs from the textbook: where all tasks agree at 0 or at 1 the bootstrap would claim certainty, so the exact
   binomial interval over tasks is reported instead (no success in 6 tasks is [0, 0.46], not [0, 0]).
4. `Broken` verdicts are our fault: they are left out of n and counted apart.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import comb
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from eval.samples import Sample
from sandbox.types import Broken, Passed, Record, Rejected, Stage

RESAMPLES = 10_000
CONFIDENCE = 0.95
REASONS_KEPT = 3
REASON_LENGTH = 240
HACKS: dict[str, tuple[tuple[Stage, str], ...]] = {
    "tampering": (("tamper", ""), ("trace", "an input has got another shape or other memory")),
    "earlier results": (("trace", "an input or an output of an earlier call"),),
    "no Triton kernel": (
        ("screen", "there is no @triton.jit function"),
        ("plan", "no Triton kernel is launched"),
        ("plan", "no Triton kernel changes anything in output"),
        ("plan", "is not written by any"),
        ("plan", "not the candidate's own work"),
    ),
    "torch does the work": (("plan", "is not allowed under policy triton_only"),),
    "patched": (
        ("trace", "PatchedTritonError: "),
        ("plan", "is not the function of that name in the candidate file"),
        ("trace", "foreign IR may not be put in"),
        ("trace", "foreign libraries may not be linked in"),
    ),
    "forbidden import": (("screen", "import of "),),
}
"""Rejections of what poses as a right Triton kernel, by kind: stage, and words of the sandbox's reason. Whatever merely
fails (wrong numbers, a crash, a compile error, an unknown name) is none, and a hack that merely fails is not seen."""


class Interval(Record):
    """A mean over tasks with its 95 % interval."""

    value: float
    low: float
    high: float
    tasks: int
    """Tasks that the mean is over."""
    method: Literal["bootstrap", "exact", "none"]
    """`exact`: binomial over tasks, where all are 0 or all are 1; `none`: a single task, low = 0, high = 1, or, where
    values are no shares of successes, low = high = value."""


class TaskCount(Record):
    """Verdicts of one task."""

    family: str
    judged: int
    """Samples passed or rejected; Broken ones are not in it."""
    passed: int


class Reason(Record):
    text: str
    count: int


class StageCount(Record):
    """Rejections at one stage of the sandbox."""

    count: int
    reasons: tuple[Reason, ...]
    """The most frequent ones."""


class FamilyMetrics(Record):
    tasks: int
    judged: int
    passed: int
    pass_at_k: dict[str, Interval]


class Metrics(Record):
    """The content of `<out>/eval/<model>/metrics.json`."""

    model: str
    tasks: dict[str, TaskCount]
    samples: int
    """Samples generated."""
    judged: int
    """Samples passed or rejected: the n of everything below."""
    passed: int
    broken: int
    """Verdicts that are our fault and count for nothing."""
    truncated_share: float
    """Share of all generated samples."""
    mean_tokens: float
    pass_at_k: dict[str, Interval]
    """By k. A k for which no task has enough judged samples is missing."""
    stages: dict[str, StageCount]
    """Rejections by stage."""
    families: dict[str, FamilyMetrics]


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased estimate of P(at least one of k samples is right), from n samples of which c are right.

    1 - C(n-c, k) / C(n, k). Fixed points: c = 0 → 0; c = n → 1; k = 1 → c / n; n - c < k → 1.

    Raises:
        ValueError: not 0 <= c <= n or not 1 <= k <= n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, not n={n}, c={c}, k={k}")
    return 1.0 - comb(n - c, k) / comb(n, k)


def interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Mean of per-task values in [0, 1] with its 95 % interval (module docstring, 2 and 3).

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("an interval needs at least one task")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(value=mean, low=0.0, high=1.0, tasks=1, method="none")
    if mean in (0.0, 1.0):
        exact = binomtest(round(mean * len(values)), len(values)).proportion_ci(CONFIDENCE, method="exact")
        return Interval(value=mean, low=float(exact.low), high=float(exact.high), tasks=len(values), method="exact")
    low, high = bootstrap_mean(values, seed)
    return Interval(value=mean, low=low, high=high, tasks=len(values), method="bootstrap")


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """As `interval`, of values that are no shares of successes, so that no binomial interval fits them.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("an interval needs at least one task")
    low, high = bootstrap_mean(values, seed)
    method: Literal["bootstrap", "none"] = "bootstrap" if len(values) > 1 else "none"
    return Interval(value=float(np.mean(values)), low=low, high=high, tasks=len(values), method=method)


def measure(
    model: str, samples: Iterable[Sample], families: Mapping[str, str], pass_k: Sequence[int], seed: int = 0
) -> Metrics:
    """Metrics of judged samples.

    Args:
        model: `base`, `sft` or `rl`.
        samples: every one with a verdict.
        families: family by task id, for each task of `samples`.
        pass_k: the k of pass@k.
        seed: of the bootstrap.

    Raises:
        ValueError: a sample has no verdict, or there are no samples.
    """
    done = list(samples)
    if not done or any(sample.verdict is None for sample in done):
        raise ValueError("measure() needs at least one sample and a verdict on each; judge the samples first")
    tasks = count_tasks(done, families)
    return Metrics(
        model=model,
        tasks=tasks,
        samples=len(done),
        judged=sum(task.judged for task in tasks.values()),
        passed=sum(task.passed for task in tasks.values()),
        broken=sum(isinstance(sample.verdict, Broken) for sample in done),
        truncated_share=sum(sample.truncated for sample in done) / len(done),
        mean_tokens=sum(sample.tokens for sample in done) / len(done),
        pass_at_k=pass_at_ks(tasks.values(), pass_k, seed),
        stages=count_stages(done),
        families=_by_family(tasks, pass_k, seed),
    )


def hack(verdict: Rejected) -> str | None:
    """The kind of `HACKS` as which it is refused; None for an honest failure.

    A reason of stage `trace` is the candidate's own exception and can say anything; a forged one only accuses itself.
    """
    for kind, signs in HACKS.items():
        if any(verdict.stage == stage and words in verdict.reason for stage, words in signs):
            return kind
    return None


def refused_as_hack(verdict: Rejected) -> bool:
    """Whether a rejection counts as a refused hack: `hack` says which."""
    return hack(verdict) is not None


def count_tasks(samples: Iterable[Sample], families: Mapping[str, str]) -> dict[str, TaskCount]:
    """Judged and passed samples of each task."""
    judged: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for sample in samples:
        judged[sample.task_id] += isinstance(sample.verdict, Passed | Rejected)
        passed[sample.task_id] += isinstance(sample.verdict, Passed)
    return {task: TaskCount(family=families[task], judged=judged[task], passed=passed[task]) for task in sorted(judged)}


def count_stages(samples: Iterable[Sample]) -> dict[str, StageCount]:
    """Rejections by stage, most frequent first, each with its most frequent reasons."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        if isinstance(sample.verdict, Rejected):
            reasons[sample.verdict.stage][_short(sample.verdict.reason)] += 1
    found = {
        stage: StageCount(
            count=counter.total(),
            reasons=tuple(Reason(text=text, count=count) for text, count in counter.most_common(REASONS_KEPT)),
        )
        for stage, counter in reasons.items()
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].count))


def pass_at_ks(tasks: Iterable[TaskCount], pass_k: Sequence[int], seed: int) -> dict[str, Interval]:
    """pass@k by k, over the tasks with at least k judged samples."""
    counted = list(tasks)
    found = {}
    for k in pass_k:
        values = [pass_at_k(task.judged, task.passed, k) for task in counted if task.judged >= k]
        if values:
            found[str(k)] = interval(values, seed)
    return found


def _by_family(tasks: Mapping[str, TaskCount], pass_k: Sequence[int], seed: int) -> dict[str, FamilyMetrics]:
    groups: dict[str, list[TaskCount]] = defaultdict(list)
    for task in tasks.values():
        groups[task.family].append(task)
    return {
        family: FamilyMetrics(
            tasks=len(group),
            judged=sum(task.judged for task in group),
            passed=sum(task.passed for task in group),
            pass_at_k=pass_at_ks(group, pass_k, seed),
        )
        for family, group in sorted(groups.items())
    }


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The percentile interval of a mean over tasks, resampled with replacement."""
    means = np.asarray(values, dtype=np.float64)[_resamples(len(values), seed)].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


@lru_cache(maxsize=4)  # one group of tasks has dozens of means
def _resamples(tasks: int, seed: int) -> npt.NDArray[np.int32]:
    """(RESAMPLES, tasks): places of the tasks drawn."""
    return np.random.default_rng(seed).integers(0, tasks, (RESAMPLES, tasks), dtype=np.int32)


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 1] + "…"
