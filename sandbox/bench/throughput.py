"""Candidates a second, sustained: right ones under the full protocol, then rejects; side by side with KernelBench.

Every candidate is new to the caches (`distinct`), and there is no verdict cache. On a machine without a GPU the
interpreter tier is measured instead, where nothing is timed: its rate is only a rate of verdicts.
"""

import itertools
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sandbox.bench import corpus, host, kernelbench
from sandbox.bench.corpus import Candidate
from sandbox.bench.distinct import NotRenamableError, distinct
from sandbox.bench.report import LIMITS, Judged, how, judge_many, progress, write
from sandbox.local import LocalSandbox
from sandbox.task_file import Tier
from sandbox.types import Broken, Job, Passed, Rejected, TimingRequest

Pair = tuple[str, Job]
SLOW_REFERENCE_MS = 1.0
"""References of the corpus that loop in Python take longer; timing those measures the reference, not the sandbox."""
SLOW_OR_WILD = {"timeout", "launch"}
"""Rejects that hang or fault belong to the soak, which measures recovery."""


def run(arguments: Namespace, gpus: int) -> int:
    """Measure and publish; exit code 1 only if a right candidate was not accepted in the sustained run."""
    tier: Tier = "gpu" if gpus else "cpu"
    timing = TimingRequest(runs=arguments.runs)
    right = pairs(corpus.candidates(arguments.honest, tier), arguments.tasks, tier, timing, arguments.only)
    wrong = pairs(rejects(corpus.candidates(arguments.exploits, tier)), arguments.tasks, tier, timing, "")
    side_by_side = bool(arguments.kernelbench and gpus)
    if side_by_side:  # what it lacks must be known before minutes are spent
        kernelbench.evaluate(arguments.kernelbench, arguments.pairs, [])
    with host.own_folder():
        sandbox = LocalSandbox(workers=arguments.workers, gpus=gpus)
        try:
            threads = arguments.threads
            proven = _proven(sandbox, right, threads)
            passed, use = _sustain(sandbox, proven, threads, arguments, gpus, "right candidates", "passed")
            rejected, _ = _sustain(sandbox, wrong, threads, arguments, gpus, "rejects", "rejected")
            ours, names = _on_kernelbench_pairs(sandbox, arguments, gpus) if side_by_side else (None, [])
        finally:
            sandbox.close()
        theirs = kernelbench.evaluate(arguments.kernelbench, arguments.pairs, names) if side_by_side else None
    summary = {
        "passed_per_second": passed["per_second"], "rejected_per_second": rejected["per_second"],
        "kernelbench_ratio": ours["per_second"] * 60 / theirs["kernels_per_minute"] if ours and theirs else None,
        "gpu_idle_share": use.idle_share(), "unexpected_verdicts": passed["unexpected"] + rejected["unexpected"],
    }  # fmt: skip
    more = {
        "tier": tier, "gpus": gpus, "threads": threads, "timed_runs": arguments.runs if gpus else 0,
        "cases_per_candidate": dict(Counter(len(job.cases) for _, job in right)),
        "gpu_idle_reason": use.reason, "candidates_left_out": sorted({n for n, _ in right} - {n for n, _ in proven}),
        "passed": passed, "rejected": rejected, "ours_on_kernelbench_pairs": ours, "kernelbench": theirs,
    }  # fmt: skip
    rows = passed.pop("rows") + rejected.pop("rows") + (ours.pop("rows") if ours else [])
    path = write(arguments.out, "throughput", summary, rows, **more)
    _print(summary, more, path)
    return 0 if passed["unexpected"] == 0 else 1


def rejects(exploits: list[Candidate]) -> list[Candidate]:
    """Exploits of families A to D that neither hang, crash the harness nor reach for memory that is not theirs."""
    return [
        c for c in exploits
        if c.family in "ABCD" and c.naive in ("pass", "fail") and not SLOW_OR_WILD & set(c.stages)
    ]  # fmt: skip


def pairs(found: list[Candidate], tasks: Path, tier: Tier, timing: TimingRequest, only: str) -> list[Pair]:
    """Named jobs of the candidates whose file name matches `only`."""
    return [(c.path.name, corpus.job(c, LIMITS, tier, tasks, timing)) for c in found if c.path.match(only or "*")]


def fresh(job: Job, number: int) -> Job:
    """The same question about a copy that no cache has seen; where renaming is impossible, only the text differs."""
    try:
        candidate = distinct(job.candidate, f"_v{number}")
    except (NotRenamableError, SyntaxError, ValueError):
        candidate = f"{job.candidate}\n# copy {number}\n"
    return job.model_copy(update={"candidate": candidate})


def stream(source: list[Pair], count: int, deadline: float) -> Iterator[Pair]:
    """Copies of `source` round robin until `count` or the deadline (`time.monotonic()`)."""
    for number in itertools.count():
        if number >= count or time.monotonic() >= deadline:
            return
        name, job = source[number % len(source)]
        yield name, fresh(job, number)


def _proven(sandbox: LocalSandbox, right: list[Pair], threads: int) -> list[Pair]:
    """Those whose renamed copy passes and whose reference is not slow; this warms the processes up too."""
    jobs = ((name, fresh(job, 10**6 + number)) for number, (name, job) in enumerate(right))
    good = {judged.name for judged in judge_many(sandbox.judge, jobs, threads) if _usable(judged.verdict)}
    return [pair for pair in right if pair[0] in good]


def _usable(verdict: Passed | Rejected | Broken) -> bool:
    times = verdict.timings or () if isinstance(verdict, Passed) else ()
    return isinstance(verdict, Passed) and all(timing.baseline_ms <= SLOW_REFERENCE_MS for timing in times)


def _sustain(
    sandbox: LocalSandbox, source: list[Pair], threads: int, arguments: Namespace, gpus: int, title: str, kind: str
) -> tuple[dict[str, Any], host.GpuUse]:
    """Rate of `kind` verdicts while `threads` candidates are in work: what is still in work at the end does not count,
    though none was ahead at the beginning. Candidates that were limited by their number count to the last one.
    """
    if not source:
        raise ValueError(f"no {title} to run; check --only and the folders")
    with progress(Console(stderr=True)) as bar, host.GpuUse(gpus) as use:
        task = bar.add_task(title, total=None)
        began = time.monotonic()
        done: list[Judged] = []
        for judged in judge_many(
            sandbox.judge, stream(source, arguments.candidates, began + arguments.seconds), threads
        ):
            done.append(judged)
            bar.advance(task)
    found = summarise(done, began, kind, arguments.seconds)
    Console(stderr=True).print(f"{title}: {found['per_second']:.2f} a second", highlight=False)
    return found, use


def summarise(done: list[Judged], began: float, kind: str, seconds: float) -> dict[str, Any]:
    """Rate in the first `seconds`, and of all: latency and what came out otherwise."""
    seconds = min(seconds, max(judged.finished for judged in done) - began)
    good = [judged for judged in done if judged.verdict.kind == kind and judged.finished <= began + seconds]
    waits = sorted(judged.seconds for judged in done)
    rows = [
        {"kind": kind, "name": name, "count": len(mine), "median_seconds": round(sorted(mine)[len(mine) // 2], 3)}
        for name in sorted({judged.name for judged in done})
        if (mine := [judged.seconds for judged in done if judged.name == name])
    ]
    others = [j for j in done if j.verdict.kind != kind]
    return {
        "per_second": len(good) / seconds, "seconds": seconds, "verdicts": len(done), "unexpected": len(others),
        "unexpected_examples": [f"{j.name}: {how(j.verdict)} {getattr(j.verdict, 'reason', '')}"[:300]
                                for j in others[:10]],
        "outcomes": dict(Counter(how(judged.verdict) for judged in done)),
        "latency_seconds": {"median": waits[len(waits) // 2], "p95": waits[int(len(waits) * 0.95)]}, "rows": rows,
    }  # fmt: skip


def _on_kernelbench_pairs(sandbox: LocalSandbox, arguments: Namespace, gpus: int) -> tuple[dict[str, Any], list[str]]:
    """Our rate on the very pairs that KernelBench's evaluator gets afterwards, each copy new to the caches."""
    source = kernelbench.jobs(arguments.pairs, TimingRequest(runs=arguments.runs), LIMITS)
    proven = _proven(sandbox, source[: arguments.kernelbench_kernels or None], arguments.threads)
    result, _ = _sustain(sandbox, proven, arguments.threads, arguments, gpus, "KernelBench pairs, ours", "passed")
    return result, [name for name, _ in proven]


def _print(summary: dict[str, Any], more: dict[str, Any], path: Path) -> None:
    speed = "" if more["gpus"] else " (interpreter, nothing timed)"
    table = Table(title=f"Throughput, {more['tier']} tier{speed}", title_justify="left")
    for column in ("what", "per second", "verdicts", "median s", "p95 s", "outcomes"):
        table.add_column(column)
    named = {"right candidates": "passed", "rejects": "rejected", "KernelBench pairs": "ours_on_kernelbench_pairs"}
    for title, key in named.items():
        if part := more[key]:
            wait = part["latency_seconds"]
            outcomes = ", ".join(f"{name} {count}" for name, count in sorted(part["outcomes"].items()))
            table.add_row(
                title, f"{part['per_second']:.2f}", str(part["verdicts"]), f"{wait['median']:.2f}",
                f"{wait['p95']:.2f}", outcomes,
            )  # fmt: skip
    if theirs := more["kernelbench"]:
        table.add_row("KernelBench's evaluator", f"{theirs['kernels_per_minute'] / 60:.3f}", str(len(theirs["rows"])))
    console = Console()
    console.print(table)
    for text in (*more["passed"]["unexpected_examples"], *more["rejected"]["unexpected_examples"]):
        console.print(text, style="yellow", markup=False, highlight=False)
    console.print(summary, f"→ {path}")
