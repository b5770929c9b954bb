"""Why is a claim of the suite missed? Nsight Compute on one call of either side: where their kernels' time goes.

Takes the claims about time that `suite_h100.json` in `--out` says are missed, and the operators that are slower than a
copy though bytes limit them; writes `suite_profile.json` beside it.
Times under the profiler are no speed: the clock is not that of a busy GPU, and each kernel runs alone, after others.
"""

import csv
import shutil
import subprocess
import sys
from argparse import Namespace
from typing import Any

from rich.console import Console
from rich.table import Table

from configs.stamp import read_json
from sandbox.bench.report import UnfitHostError, earlier_rows, progress, write
from sandbox.bench.suite_table import behind_copy

OURS = "ours"
"""The expert, among contenders."""
SECTIONS = ("SpeedOfLight", "ComputeWorkloadAnalysis", "WarpStateStats", "Occupancy", "LaunchStats", "SchedulerStats")
METRICS = {
    "us": ("gpu__time_duration.sum", 1e-3),
    "tensor_percent": ("sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed", 1.0),
    "dram_percent": ("gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed", 1.0),
    "l2_percent": ("lts__throughput.avg.pct_of_peak_sustained_elapsed", 1.0),
    "issue_percent": ("smsp__issue_active.avg.pct_of_peak_sustained_active", 1.0),
    "warps_percent": ("sm__warps_active.avg.pct_of_peak_sustained_active", 1.0),
    "registers": ("launch__registers_per_thread", 1.0),
}
"""What each number is called here, Nsight Compute's name for it, and what turns its unit into ours."""
STALLED, PER_ISSUE = "smsp__average_warps_issue_stalled_", "_per_issue_active.ratio"
NO_STALL = ("selected", "not_selected")
MOST_STALLS = 3
SECONDS = 300.0

Side = tuple[str, str, str]
"""Operator, case, contender."""


def run(arguments: Namespace, gpus: int) -> int:
    """Exit code 0.

    Raises:
        UnfitHostError: there is no GPU, no Nsight Compute or no result of the suite, or one may not read the counters.
    """
    if not gpus or shutil.which("ncu") is None:
        raise UnfitHostError(
            "profiles need a GPU and Nsight Compute's `ncu` on the PATH; it comes with the CUDA toolkit"
        )
    suite = arguments.out / "suite_h100.json"
    if not suite.exists():
        raise UnfitHostError(f"{suite} does not exist; run python -m sandbox suite first")
    result = read_json(suite)
    slow = [(row["operator"], row["case"], OURS) for row in behind_copy(result["rows"])]
    todo = wanted = list(dict.fromkeys([*sides(result["headlines"]), *slow]))
    if order := arguments.operators:
        todo = sorted((one for one in wanted if one[0] in order), key=lambda one: order.index(one[0]))
    path = arguments.out / "suite_profile.json"
    kept = {(row["operator"], row["case"], row["contender"]): row for row in earlier_rows(path)}
    with progress(Console(stderr=True)) as bar:
        task = bar.add_task("profiles", total=len(todo))
        for operator, case, contender in todo:
            kernels = parsed(profiled(operator, case, contender))
            kept[operator, case, contender] = {
                "operator": operator, "case": case, "contender": contender, "kernels": kernels,
            }  # fmt: skip
            summary = {"profiles": len(kept), "missing": len(set(wanted) - kept.keys())}
            write(arguments.out, "suite_profile", summary, list(kept.values()))  # each time: the next may fail
            bar.advance(task)
    _print(list(kept.values()), str(path))
    return 0


def sides(claims: list[dict[str, Any]]) -> list[Side]:
    """Operator, case and contender of each side of the claims about time that are missed."""
    missed = [claim for claim in claims if claim["measure"] == "time" and not claim["met"]]
    return [(claim["operator"], claim["case"], side) for claim in missed for side in (OURS, claim["against"])]


def profiled(operator: str, case: str, contender: str) -> str:
    """What Nsight Compute says of the kernels of one call, as CSV between other lines.

    Raises:
        UnfitHostError: it fails; the message holds the end of what it said.
    """
    sections = [word for name in SECTIONS for word in ("--section", name)]
    command = ["ncu", "--profile-from-start", "off", "--clock-control", "none", "--csv", "--page", "raw", *sections,
               sys.executable, "-m", "sandbox.bench.profiled", operator, case, contender]  # fmt: skip
    try:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UnfitHostError(f"ncu takes longer than {SECONDS:g} s on {operator} {case} {contender}") from error
    if done.returncode:
        raise UnfitHostError(f"ncu failed on {operator} {case} {contender}: {done.stdout[-600:]}")
    return done.stdout


def parsed(text: str) -> list[dict[str, Any]]:
    """The kernels of a profile in the order of their first calls; a metric that this GPU does not have is left out.

    Calls of one kernel on one grid are one row: `calls`, `us` of all of them, and the other numbers of the longest.
    """
    lines = [line for line in text.splitlines() if line.startswith('"')]
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in list(csv.DictReader(lines))[1:]:  # the first holds units
        kernel = _kernel(row)
        found.setdefault((kernel["kernel"], kernel["grid"]), []).append(kernel)
    return [_folded(calls) for calls in found.values()]


def _folded(calls: list[dict[str, Any]]) -> dict[str, Any]:
    times = [call.get("us", 0.0) for call in calls]
    return {**calls[times.index(max(times))], "us": round(sum(times), 3), "calls": len(calls)}


def _kernel(row: dict[str, str]) -> dict[str, Any]:
    stalls = {
        name.removeprefix(STALLED).removesuffix(PER_ISSUE): _number(value)
        for name, value in row.items()
        if name.startswith(STALLED) and name.endswith(PER_ISSUE)
    }
    worst = sorted((name for name in stalls if name not in NO_STALL), key=lambda name: -stalls[name])
    return {
        "kernel": row["Kernel Name"], "grid": row["Grid Size"], "block": row["Block Size"],
        **{name: round(_number(row[theirs]) * scale, 3) for name, (theirs, scale) in METRICS.items() if theirs in row},
        "stalls_per_issue": {name: stalls[name] for name in worst[:MOST_STALLS]},
    }  # fmt: skip


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _print(rows: list[dict[str, Any]], title: str) -> None:
    columns = ("operator", "case", "of", "kernel", "calls", *METRICS, "waits for")
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        for kernel in row["kernels"]:
            waits = ", ".join(f"{name} {value:g}" for name, value in kernel["stalls_per_issue"].items())
            numbers = [f"{kernel[name]:g}" if name in kernel else "" for name in METRICS]
            which = (row["operator"], row["case"], row["contender"], kernel["kernel"][:40], str(kernel["calls"]))
            table.add_row(*which, *numbers, waits)
    Console().print(table)
