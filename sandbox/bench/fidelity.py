"""Are times right? A candidate that *is* the baseline, trial after trial, and Triton's own benchmarks beside it.

The task files of `tests/fidelity` launch a Triton kernel as their reference; the candidate is the same source. So the
true ratio is 1, and an honest 95 % interval contains it in 95 % of trials. Trials are spread over fresh sandboxes, as
memory lies elsewhere in each. Data are larger than L2 in all of them, so a cold and a warm cache make little difference
to the comparison with `triton.testing`.
"""

import json
import statistics
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sandbox import task_file
from sandbox.bench import host, plots
from sandbox.bench.report import LIMITS, UnfitHostError, progress, write
from sandbox.local import LocalSandbox
from sandbox.types import TOLERANCES, Job, Passed, Timing, TimingRequest

LONG_MS = 0.050
"""Kernels from here on must have an interval of at most 1 % to either side."""
EXPLANATION = (
    "do_bench_difference_percent compares our median with triton.testing.do_bench_cudagraph, which like us replays a "
    "graph and has no launch or event in the timed part. do_bench records an event before and after every single "
    "call, so each of its samples also holds the gap between the events and the kernel: a constant of some "
    "microseconds (event_overhead_us), whose share shrinks as kernels grow. do_bench also clears L2 before every call, "
    "do_bench_cudagraph never does, we rotate over input sets larger than L2; each kernel here touches more memory "
    "than L2 holds, so this changes little. Both are asked for short bursts with pauses between them, as ours are: "
    "at its default length, do_bench_cudagraph keeps a large matrix product running until the power limit lowers the "
    "clock (sustained_ms, sustained_sm_mhz). ratio_deviation_percent is the standard deviation of the ratio from the "
    "true 1; most of it comes from where in memory the two sides' tensors lie, and intervals allow for it."
)


def run(arguments: Namespace, gpus: int) -> int:
    """Exit code 0 if coverage, width and spread meet their targets.

    Raises:
        UnfitHostError: there is no GPU, and interpreter time is never presented as speed.
    """
    if not gpus:
        raise UnfitHostError("fidelity measures GPU times, and there is no GPU here; run it on a machine with one")
    files = sorted(arguments.kernels.glob("*.py"))
    jobs = {path.stem: same_job(path, arguments.runs) for path in files}
    trials: dict[str, list[Timing]] = {name: [] for name in jobs}
    medians: dict[str, list[float]] = {name: [] for name in jobs}
    failures: list[str] = []
    with progress(Console(stderr=True)) as bar, host.own_folder():
        task = bar.add_task("trials", total=len(jobs) * arguments.trials * arguments.fresh)
        for _ in range(arguments.fresh):
            sandbox = LocalSandbox(workers=2, gpus=1)
            try:
                for name, job in jobs.items():
                    timings = []
                    for _ in range(arguments.trials):
                        timing = _time(sandbox, job, name, failures)
                        timings += [timing] if timing else []
                        bar.advance(task)
                    trials[name] += timings
                    medians[name] += [statistics.median(t.candidate_ms for t in timings)] if timings else []
            finally:
                sandbox.close()
    theirs = {path.stem: plain(path) for path in files}
    rows = [row_of(name, trials[name], medians[name], theirs[name]) for name in jobs if trials[name] and medians[name]]
    if not rows:
        raise UnfitHostError(f"no trial was timed: {failures[:3]}")
    summary = summarise(rows)
    path = write(arguments.out, "fidelity", summary, rows, explanation=EXPLANATION, failures=failures[:20])
    plots.fidelity(path)
    _print(rows, summary, path)
    met = summary["covered_share"] >= 0.95 and summary["half_width_percent"] <= 1 and summary["spread_percent"] <= 1
    return 0 if met and not failures else 1


def same_job(path: Path, runs: int) -> Job:
    """Reference and candidate are one source."""
    task = task_file.read(path, "gpu")
    return Job(
        reference=task.reference, candidate=task.reference, entry_point=task.entry_point, cases=task.cases,
        tolerance=TOLERANCES[task.tolerance], policy="mixed", timing=TimingRequest(runs=runs), limits=LIMITS,
    )  # fmt: skip


def _time(sandbox: LocalSandbox, job: Job, name: str, failures: list[str]) -> Timing | None:
    verdict = sandbox.judge(job)
    if isinstance(verdict, Passed) and verdict.timings:
        return verdict.timings[0]
    why = "no timing" if isinstance(verdict, Passed) else f"{verdict.kind}: {verdict.reason}"
    failures.append(f"{name}: {why}"[:300])
    return None


def plain(path: Path) -> dict[str, Any]:
    """What `sandbox.bench.plain_timing` finds, in a process without any of the sandbox.

    Raises:
        subprocess.CalledProcessError: the process failed; its messages are on the error stream.
    """
    command = [sys.executable, "-m", "sandbox.bench.plain_timing", str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def row_of(name: str, trials: list[Timing], medians: list[float], theirs: dict[str, Any]) -> dict[str, Any]:
    """One kernel's findings; widths, spread and differences in percent, times in ms."""
    ours = statistics.median(timing.candidate_ms for timing in trials)
    widths = [50 * (timing.ratio_high - timing.ratio_low) / timing.ratio for timing in trials]
    return {
        "kernel": name, "candidate_ms": ours, "trials": len(trials),
        "covered": sum(timing.ratio_low <= 1 <= timing.ratio_high for timing in trials),
        "half_width_percent_median": statistics.median(widths), "half_width_percent_worst": max(widths),
        "spread_percent": 100 * (max(medians) - min(medians)) / statistics.median(medians),
        "ratio_deviation_percent": 100 * statistics.fmean((t.ratio - 1) ** 2 for t in trials) ** 0.5,
        "fresh_sandboxes_ms": medians, "do_bench_cudagraph_ms": theirs["do_bench_cudagraph"],
        "do_bench_ms": theirs["do_bench"],
        "sustained_ms": theirs["sustained"], "sustained_sm_mhz": theirs["sustained_sm_mhz"],
        "cudagraph_difference_percent": 100 * (ours / theirs["do_bench_cudagraph"] - 1),
        "event_difference_percent": 100 * (theirs["do_bench"] / ours - 1),
        "event_overhead_us": 1000 * (theirs["do_bench"] - ours),
        "clock": trials[0].clock, "samples": trials[0].samples,
        "intervals": [[timing.ratio_low, timing.ratio, timing.ratio_high] for timing in trials],
    }  # fmt: skip


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Worst kernel of each property; coverage over all trials."""
    long = [row for row in rows if row["candidate_ms"] >= LONG_MS] or rows
    return {
        "covered_share": sum(row["covered"] for row in rows) / sum(row["trials"] for row in rows),
        "half_width_percent": max(row["half_width_percent_median"] for row in long),
        "spread_percent": max(row["spread_percent"] for row in rows),
        "do_bench_difference_percent": max(abs(row["cudagraph_difference_percent"]) for row in rows),
        "ratio_deviation_percent": max(row["ratio_deviation_percent"] for row in rows),
        "event_overhead_us": statistics.median(row["event_overhead_us"] for row in rows),
        "event_difference_percent": max(abs(row["event_difference_percent"]) for row in rows),
        "trials": sum(row["trials"] for row in rows),
    }


def _print(rows: list[dict[str, Any]], summary: dict[str, Any], path: Path) -> None:
    table = Table(title="Timing fidelity: a candidate that is its own baseline", title_justify="left")
    for column in (
        "kernel", "µs", "interval has 1", "half-width % (worst)", "spread %", "do_bench_cudagraph", "do_bench",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["kernel"], f"{1000 * row['candidate_ms']:.1f}", f"{row['covered']}/{row['trials']}",
            f"{row['half_width_percent_median']:.2f} ({row['half_width_percent_worst']:.2f})",
            f"{row['spread_percent']:.2f}",
            f"{1000 * row['do_bench_cudagraph_ms']:.1f} µs ({row['cudagraph_difference_percent']:+.1f} %)",
            f"{1000 * row['do_bench_ms']:.1f} µs ({row['event_overhead_us']:+.1f} µs)",
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(EXPLANATION, style="dim")
    console.print(summary, f"→ {path}")
