"""The reference suite's experts: right on every case by the full protocol, and how fast, beside everything else.

Each case is a job of its own: expert, eager PyTorch, `torch.compile` in two modes and a library call, interleaved
in one run on one of the GPUs. Without a GPU the small cases are run under the interpreter and the kernels compiled
for every target.

A row is measured once: it stays in the result, with the commit and protocol that it was measured at, until its task or
its expert changes. So an operator can be worked on without timing the others again. A result belongs to one host, and
one choice of runs and baselines; others need another `--out`.
"""

import hashlib
import json
import statistics
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

from rich.console import Console
from rich.table import Table

from configs.stamp import write_text
from sandbox import references
from sandbox.bench import plots, suite_page, suite_table
from sandbox.bench.report import Judged, UnfitHostError, earlier_rows, full_stamp, how, judge_many, progress, write
from sandbox.gpu_pool import PAIRS
from sandbox.local import LocalSandbox
from sandbox.references import SuiteTask
from sandbox.types import (
    COMPILED_BASELINES,
    Baseline,
    Broken,
    Case,
    Job,
    Limits,
    Passed,
    Target,
    TimingRequest,
    Verdict,
)

LIMITS = Limits(gpu_seconds=30.0, run_seconds=60.0)
SPARE = 1
"""Cases in work beyond those that a GPU's pairs hold. Those that then lack memory are tried again alone."""
NOT_COMPILED = "NotCompiledError: "
"""How the fault begins where `torch.compile` cannot make a baseline."""
WRITTEN_BY_USERS: tuple[Baseline, ...] = ("eager", "compile", "max-autotune")
"""The best of these is what an expert is compared with."""


def run(arguments: Namespace, gpus: int) -> int:
    """Exit code 0 if every case that was asked for passed."""
    try:
        tasks = [references.load(name, "gpu" if gpus else "cpu") for name in arguments.operators or references.names()]
    except KeyError as error:
        raise UnfitHostError(error.args[0]) from error
    if arguments.list or arguments.write_docs:
        return suite_page.show(arguments.write_docs)
    return _measure(tasks, arguments, gpus) if gpus else _check(tasks, arguments)


def _check(tasks: list[SuiteTask], arguments: Namespace) -> int:
    """No GPU: all small cases of each operator, and its kernels compiled ahead of time."""
    jobs = [(task.name, task.job(task.expert, limits=LIMITS, targets=get_args(Target))) for task in tasks]
    table = Table(title="Reference suite under the interpreter (nothing is timed)", title_justify="left")
    for column in ("operator", "verdict", "cases", "compiled for", "most registers", "spills", "shared bytes"):
        table.add_column(column, no_wrap=column == "operator")
    console, passed = Console(), 0
    with progress(Console(stderr=True)) as bar:
        sandbox = LocalSandbox(workers=arguments.workers)
        try:
            task = bar.add_task("operators", total=len(jobs))
            for judged in judge_many(sandbox.judge, jobs, 2):
                bar.advance(task)
                verdict = judged.verdict
                if not isinstance(verdict, Passed):
                    table.add_row(judged.name, f"{how(verdict)}: {verdict.reason}")
                    continue
                passed += 1
                targets = ", ".join(sorted({s.target for s in verdict.static}))
                worst = [
                    max(getattr(s, key) for s in verdict.static) for key in ("registers", "spills", "shared_bytes")
                ]
                table.add_row(judged.name, "passed", str(len(verdict.cases)), targets, *map(str, worst))
        finally:
            sandbox.close()
    console.print(table)
    return 0 if passed == len(tasks) else 1


def _measure(tasks: list[SuiteTask], arguments: Namespace, gpus: int) -> int:
    suite = [references.load(name, "gpu") for name in references.names()]
    jobs = {(task.name, case.name): job(task, case, arguments) for task in suite for case in task.cases}
    digests = {one: key for key, one in zip(jobs, map(digest, jobs.values()), strict=True)}
    settings = {"runs": arguments.runs, "baselines": sorted(arguments.baselines or [])}
    uncompiled: dict[str, str] = {}
    marks, copy = full_stamp(), _copy_rate()
    known = {row["job"]: row for row in earlier_rows(arguments.out / "suite_h100.json", settings)}
    order = [task.name for task in tasks]
    right = {d for d, row in known.items() if row["verdict"] == "passed"}
    open_ = [(d, key) for d, key in digests.items() if key[0] in order and d not in right]
    todo = [(d, jobs[key]) for d, key in sorted(open_, key=lambda one: order.index(one[1][0]))]

    def written() -> _Result:
        rows = [known[d] for d in digests if d in known]
        return _write(arguments.out, suite, rows, stamp=marks, settings=settings, copy=copy)

    with progress(Console(stderr=True)) as bar:
        sandbox = LocalSandbox(workers=arguments.workers, gpus=gpus, cache=arguments.cache, verdicts=False)
        try:
            bar_task = bar.add_task("cases", total=len(todo))
            judge, parallel = with_what_compiles(sandbox.judge, uncompiled), gpus * (PAIRS + SPARE)
            for judged in _judged(judge, todo, parallel, sandbox.trim):
                name, case = digests[judged.name]
                row = row_of(next(t for t in tasks if t.name == name), case, judged, copy)
                row |= {"not_compiled": uncompiled[judged.name]} if judged.name in uncompiled else {}
                known[judged.name] = {**row, "job": judged.name, "git": marks["git"], "protocol": marks["protocol"]}
                written()
                bar.advance(bar_task)
        finally:
            sandbox.close()
    result = written()
    plots.suite(result.path)
    suite_table.show(result.rows, result.claims)
    Console().print(result.summary, f"→ {result.path}")
    return 0 if all(known[d]["verdict"] == "passed" for d, key in digests.items() if key[0] in order) else 1


class _Result(NamedTuple):
    path: Path
    rows: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    summary: dict[str, Any]


def _write(out: Path, suite: list[SuiteTask], rows: list[dict[str, Any]], **more: Any) -> _Result:
    """The result as far as it has come: after every case, so that a run that is cut short loses nothing."""
    claims = headlines(suite, rows)
    summary = summarise(rows, claims) | {"cases_unmeasured": sum(len(task.cases) for task in suite) - len(rows)}
    path = write(out, "suite_h100", summary, rows, headlines=claims, **more)
    write_text(path.with_suffix(".md"), suite_table.markdown(rows, claims, more["stamp"]))
    return _Result(path, rows, claims, summary)


def digest(one: Job) -> str:
    """Of everything that decides a row but the host."""
    return hashlib.sha256(one.model_dump_json().encode()).hexdigest()[:16]


def job(task: SuiteTask, case: Case, arguments: Namespace) -> Job:
    """One case of an operator, timed beside all its baselines, or those that were asked for."""
    wanted = tuple(name for name in task.baselines if not arguments.baselines or name in arguments.baselines)
    timing = TimingRequest(runs=arguments.runs, baselines=wanted)
    return task.job(task.expert, limits=LIMITS, timing=timing).model_copy(update={"cases": (case,)})


def with_what_compiles(judge: Callable[[Job], Verdict], uncompiled: dict[str, str]) -> Callable[[Job], Verdict]:
    """Judge a case, without compiled baselines where there are none; `uncompiled` gets the reason, by digest."""

    def judged(one: Job) -> Verdict:
        verdict = judge(one)
        if not isinstance(verdict, Broken) or not verdict.reason.startswith(NOT_COMPILED) or one.timing is None:
            return verdict
        uncompiled[digest(one)] = verdict.reason.removeprefix(NOT_COMPILED)
        left = tuple(name for name in one.timing.baselines if name not in COMPILED_BASELINES)
        return judge(one.model_copy(update={"timing": one.timing.model_copy(update={"baselines": left})}))

    return judged


def _judged(
    judge: Callable[[Job], Verdict], todo: list[tuple[str, Job]], parallel: int, trim: Callable[[], None]
) -> Iterator[Judged]:
    """`trim` makes room before a case that was broken beside others is tried again."""
    again = []
    for judged in judge_many(judge, todo, parallel):
        if isinstance(judged.verdict, Broken):
            one = next(job for key, job in todo if key == judged.name)
            again.append(judged.name)
            said = f"{one.entry_point} {one.cases[0].name} again at the end, alone: {judged.verdict.reason}"
            Console(stderr=True).print(said, markup=False, highlight=False)
        else:
            yield judged
    for key, one in todo:
        if key in again:
            trim()
            yield from judge_many(judge, [(key, one)], 1)


def _copy_rate() -> dict[str, float]:
    command = [sys.executable, "-m", "sandbox.bench.copy_rate"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def row_of(task: SuiteTask, case: str, judged: Judged, copy: dict[str, float]) -> dict[str, Any]:
    """One case's findings; times in ms, memory in MiB. `ratio` is the best of eager and compiled over ours."""
    verdict = judged.verdict
    row = {
        "operator": task.name, "family": task.family, "case": case,
        "args": next(c.args for c in task.cases if c.name == case), "verdict": how(verdict),
        "reason": "" if isinstance(verdict, Passed) else verdict.reason[:300], "seconds": round(judged.seconds, 1),
    }  # fmt: skip
    timings = verdict.timings if isinstance(verdict, Passed) else None
    if not timings:
        return row
    by = {timing.baseline: timing for timing in timings}
    first = timings[0]
    mine = [by[name].ratio for name in WRITTEN_BY_USERS if name in by]
    of_copy = first.roofline_ms * copy["nominal_bytes_per_ms"] / copy["copy_bytes_per_ms"] / first.candidate_ms
    return row | {
        "ours_ms": statistics.median(timing.candidate_ms for timing in timings),
        "baselines_ms": {name: timing.baseline_ms for name, timing in by.items()},
        "ratios": {name: [t.ratio_low, t.ratio, t.ratio_high] for name, t in by.items()},
        "ratio": min(mine) if mine else None,
        "roofline_ms": first.roofline_ms, "limited_by": first.limited_by,
        "roofline_share": first.roofline_ms / first.candidate_ms,
        "copy_share": of_copy if first.limited_by == "bytes" else None,
        "peak_mib": first.candidate_peak_mib,
        "baselines_peak_mib": {name: timing.baseline_peak_mib for name, timing in by.items()},
        "clocks": {name: timing.clock for name, timing in by.items()},
        "graph_breaks": max(timing.baseline_breaks for timing in timings),
    }  # fmt: skip


def headlines(tasks: list[SuiteTask], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every claim of the papers with what came out; `measured` is None where its case was not timed."""
    found = []
    for task in tasks:
        for claim in task.headlines:
            row = next((r for r in rows if (r["operator"], r["case"]) == (task.name, claim.case)), {})
            kind = ("baselines_ms", "ours_ms") if claim.measure == "time" else ("baselines_peak_mib", "peak_mib")
            theirs = row.get(kind[0], {}).get(claim.against)
            measured = None if theirs is None else theirs / row[kind[1]]
            met = measured is not None and measured >= claim.ratio
            found.append({"operator": task.name, **claim.model_dump(), "measured": measured, "met": met})
    return found


def _compiled_whole(row: dict[str, Any]) -> bool:
    """Whether `torch.compile` is among the contenders, and left nothing to Python."""
    return not row.get("graph_breaks") and not row["ratios"].keys().isdisjoint(COMPILED_BASELINES)


def summarise(rows: list[dict[str, Any]], claims: list[dict[str, Any]]) -> dict[str, Any]:
    ratios = [row["ratio"] for row in rows if row.get("ratio")]
    whole = [row["ratio"] for row in rows if row.get("ratio") and _compiled_whole(row)]
    hardest = [min(ratio for _, ratio, _ in row["ratios"].values()) for row in rows if row.get("ratios")]
    return {
        "operators": len({row["operator"] for row in rows}), "cases": len(rows),
        "passed": sum(row["verdict"] == "passed" for row in rows),
        "geomean_vs_best": statistics.geometric_mean(ratios) if ratios else None,
        "geomean_vs_best_compiled_whole": statistics.geometric_mean(whole) if whole else None,
        "geomean_vs_best_or_library": statistics.geometric_mean(hardest) if hardest else None,
        "headlines_total": len(claims), "headlines_met": sum(claim["met"] for claim in claims),
    }  # fmt: skip
