"""Thousands of candidates with crashers, hangs and device faults among them: no leak, and no sentinel misjudged.

Sentinels are honest kernels that must pass and wrong ones that must be rejected; the rest are exploits of family E
and those of any family that only mean something on a GPU. `Broken` on a sentinel counts as a wrong verdict.
Leaks are what grows between a state early in the run and the end, or what is left once the sandbox is closed. Both
states are *rested*: a round of sentinels has warmed every process, also one that has just replaced another, and what is
only kept for speed has been given back. The early one is taken after a third of the run, when every process has met
what it loads for good: a CUDA context keeps every kernel it has seen.
"""

import random
import statistics
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sandbox.bench import corpus, host
from sandbox.bench.corpus import Candidate
from sandbox.bench.report import LIMITS, SHORT, Judged, Verdict, how, judge_many, progress, write
from sandbox.local import LocalSandbox
from sandbox.task_file import Tier
from sandbox.types import Job, Passed, Rejected, TimingRequest

HONEST = ("plain_softmax.py", "matmul_dot.py", "heuristics_layernorm.py", "atomic_row_sum.py", "erf_gelu.py")
WRONG = ("c_nothing_written.py", "c_half_the_rows.py", "c_tanh_gelu.py", "d_no_kernel.py", "a_forbidden_imports.py")
SAMPLES = 20
FAULT_FAMILY = "E"
MOST_WARMING, CANDIDATES_A_WARMING = 20, 150
"""Times that each sentinel is judged in a rest, so that every process has had every one of them; less in short runs."""
SLACK_MIB = 64.0
"""Growth of GPU memory that is no leak: a context takes memory in steps."""


def run(arguments: Namespace, gpus: int) -> int:
    """Exit code 0 if no sentinel was misjudged and nothing leaked."""
    tier: Tier = "gpu" if gpus else "cpu"
    timing = TimingRequest(runs=arguments.runs)
    good = named_jobs(arguments.honest, HONEST, arguments.tasks, tier, timing)
    wrong = named_jobs(arguments.exploits, WRONG, arguments.tasks, tier, timing)
    bad = [
        (c.path.name, corpus.job(c, SHORT, tier, arguments.tasks, timing).model_copy(update={"rehearsal": ()}))
        for c in faults(arguments.exploits, tier)
    ]  # a rehearsal would stop most of them before the device
    strangers = host.strangers(arguments.exploits.parent.parent)
    with host.own_folder() as folder:
        start = host.snapshot(folder)
        sandbox = LocalSandbox(workers=arguments.workers, gpus=gpus)
        try:
            jobs = list(mixed(good, wrong, bad, arguments))
            third, began = len(jobs) // 3, time.monotonic()
            done, samples = _run(sandbox, jobs[:third], arguments, folder)
            seconds = time.monotonic() - began
            others = _rest(sandbox, good, arguments)
            warm, began = host.snapshot(folder), time.monotonic()
            rest, later = _run(sandbox, jobs[third:], arguments, folder)
            seconds += time.monotonic() - began
            done, samples = done + rest, samples + later
            restarts = sandbox.restarts() if gpus else []
            others += _rest(sandbox, good, arguments)
            after = settled(folder, warm)
        finally:
            sandbox.close()
        survivors = host.wait_for_end(folder)
        closed = host.snapshot(folder)
    left = sorted(str(path) for path in host.strangers(arguments.exploits.parent.parent) - strangers)
    misjudged = [j for j in others + done if expected(j.name) not in ("", j.verdict.kind)]
    summary = {
        "candidates": len(done), "wrong_verdicts": len(misjudged),
        "leaked_processes": max(0, after.processes - warm.processes) + len(survivors),
        "leaked_gpu_mib": leaked_mib([start, warm, after, closed]),
        "recovery_seconds": max(restarts) if restarts else None,
        "recovery_seconds_median": statistics.median(restarts) if restarts else None, "restarts": len(restarts),
        "leaked_files": max(0, after.files - warm.files) + closed.files + len(left),
        "leaked_descriptors": max(0, after.descriptors - warm.descriptors),
        "supervisor_growth_mib": round(after.rss_mib - warm.rss_mib, 1),
        "descendants_growth_mib": round(after.descendants_mib - warm.descendants_mib, 1),
        "candidates_per_second": len(done) / seconds,
    }  # fmt: skip
    more = {
        "tier": tier, "seconds": seconds, "fault_share": arguments.fault_share, "files_left": left, "samples": samples,
        "snapshots": {name: shot.model_dump() for name, shot in
                      (("start", start), ("warm", warm), ("after", after), ("closed", closed))},
        "misjudged": [f"{j.name}: {how(j.verdict)} {getattr(j.verdict, 'reason', '')}"[:300] for j in misjudged[:20]],
        "recovery": "seconds from a dead GPU process until its replacement answered, as the sandbox counts them",
    }  # fmt: skip
    path = write(arguments.out, "soak", summary, rows_of(done), **more)
    _print(summary, more, path)
    leaked = summary["leaked_processes"] or summary["leaked_files"] or (summary["leaked_gpu_mib"] or 0.0) > SLACK_MIB
    return 1 if misjudged or leaked else 0


def expected(name: str) -> str:
    """The known verdict of a sentinel; "" for the others."""
    return "passed" if name in HONEST else "rejected" if name in WRONG else ""


def named_jobs(
    folder: Path, names: tuple[str, ...], tasks: Path, tier: Tier, timing: TimingRequest
) -> list[tuple[str, Job]]:
    """Sentinels by file name."""
    return [(name, corpus.job(corpus.read_candidate(folder / name), LIMITS, tier, tasks, timing)) for name in names]


def faults(folder: Path, tier: Tier) -> list[Candidate]:
    """Crashers, hangs and device faults: family E, and what only exists on a GPU."""
    return [c for c in corpus.candidates(folder, tier) if c.family == FAULT_FAMILY or c.tier == "gpu"]


def mixed(
    good: list[tuple[str, Job]], wrong: list[tuple[str, Job]], bad: list[tuple[str, Job]], arguments: Namespace
) -> Iterator[tuple[str, Job]]:
    """`candidates` jobs in an order drawn from `seed`: `fault_share` bad ones, each kind in turn, else sentinels."""
    generator = random.Random(arguments.seed)
    count = round(arguments.candidates * arguments.fault_share)
    places = set(generator.sample(range(arguments.candidates), count))
    offset = generator.randrange(len(bad))
    order = generator.sample(bad, len(bad))
    for number in range(arguments.candidates):
        if number in places:
            yield order[offset % len(order)]
            offset += 1
        else:
            yield generator.choice(good if number % 2 else wrong)


def settled(folder: Path, warm: host.Snapshot, seconds: float = 20.0) -> host.Snapshot:
    """The state after the run, once what is being killed or replaced is through, or `seconds` later."""
    deadline = time.monotonic() + seconds
    while (now := host.snapshot(folder)).processes != warm.processes and time.monotonic() < deadline:
        time.sleep(0.2)
    return now


def leaked_mib(shots: list[host.Snapshot]) -> float | None:
    """The larger of growth while warm and what stays after closing, in MiB; None where GPU memory cannot be read."""
    used = [shot.gpu_mib for shot in shots]
    start, warm, after, closed = used
    if start is None or warm is None or after is None or closed is None:
        return None
    return round(max(0.0, after - warm, closed - start), 1)


def _rest(sandbox: LocalSandbox, good: list[tuple[str, Job]], arguments: Namespace) -> list[Judged]:
    """A round of sentinels that reaches every process, then nothing in hand."""
    times = min(MOST_WARMING, 1 + arguments.candidates // CANDIDATES_A_WARMING)
    found = list(judge_many(sandbox.judge, good * times, arguments.threads))
    sandbox.trim()
    return found


def _run(
    sandbox: LocalSandbox, jobs: list[tuple[str, Job]], arguments: Namespace, folder: Path
) -> tuple[list[Judged], list[dict[str, Any]]]:
    done: list[Judged] = []
    samples = []
    every = max(1, arguments.candidates // SAMPLES)
    with progress(Console(stderr=True)) as bar:
        task = bar.add_task("soak", total=len(jobs))
        for judged in judge_many(sandbox.judge, jobs, arguments.threads):
            done.append(judged._replace(verdict=slim(judged.verdict)))
            bar.advance(task)
            if len(done) % every == 0:
                samples.append({"candidates": len(done), **host.snapshot(folder).model_dump()})
    return done, samples


def slim(verdict: Verdict) -> Verdict:
    """Without logs and measurements: our own list of verdicts must not look like a leak."""
    if isinstance(verdict, Passed):
        return Passed(cases=())
    return verdict.model_copy(update={"log": ""} if isinstance(verdict, Rejected) else {})


def rows_of(done: list[Judged]) -> list[dict[str, Any]]:
    """One row a candidate file: how often it ran, with which outcomes and how long."""
    rows = []
    for name in sorted({judged.name for judged in done}):
        mine = [judged for judged in done if judged.name == name]
        rows.append({
            "name": name, "expected": expected(name) or "rejected", "sentinel": bool(expected(name)),
            "count": len(mine), "outcomes": dict(Counter(how(judged.verdict) for judged in mine)),
            "median_seconds": round(statistics.median(judged.seconds for judged in mine), 3),
        })  # fmt: skip
    return rows


def _print(summary: dict[str, Any], more: dict[str, Any], path: Path) -> None:
    table = Table(title="Soak", title_justify="left")
    for column in ("when", "processes", "supervisor MiB", "descendants MiB", "descriptors", "files", "GPU MiB"):
        table.add_column(column, justify="right")
    for name, shot in more["snapshots"].items():
        gpu = "" if shot["gpu_mib"] is None else f"{shot['gpu_mib']:.0f}"
        memory = (f"{shot['rss_mib']:.1f}", f"{shot['descendants_mib']:.1f}")
        cells = (str(shot["processes"]), *memory, str(shot["descriptors"]), str(shot["files"]), gpu)
        table.add_row(name, *cells)
    console = Console()
    console.print(table)
    for text in more["misjudged"]:
        console.print(text, style="red", markup=False, highlight=False)
    console.print(summary, f"→ {path}")
