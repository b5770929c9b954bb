"""TritonBench's speedup and efficiency: an item's own script on gold and answer, and upstream's formulas.

1. The script, `performance_metrics/perf_*/golden_metrics/<item>_perf.py` of a clone, draws inputs of many sizes and
   times each with Triton's `do_bench`. It runs below what it times, in the jail of programs, alone on the GPU. The
   answer shares the process with the clock, as upstream has it, so one that wants to cheat can.
2. Each input is timed for `REPEAT_MS`; upstream takes ten times as long.
3. Where a script loops over its inputs itself, one that fails ends it. Upstream goes on with the next one.
4. Scores are given twice: beside upstream's published golds and the peaks of its A100, as upstream computes them, and
   beside golds that were timed here and the peaks of this GPU.
"""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from configs.stamp import stamp, write_json
from data_pipeline.contamination import BenchmarkMissingError
from data_pipeline.store import append_record, read_records
from eval.benchmarks.kernelbench.upstream import digest, machine
from eval.benchmarks.tritonbench.items import Half, TritonBenchItem, upstream_filter
from eval.benchmarks.tritonbench.results import Results
from eval.benchmarks.tritonbench.runner import FaultError, Runner
from eval.benchmarks.tritonbench.upstream import GOLD, Pair
from sandbox.bench.report import progress
from sandbox.types import Record

WARMUP_MS, REPEAT_MS = 25, 100
RESULT, SEED = "timed_inputs", 0
FOLDER = re.compile(r"^( *folder_path = ).*$", re.MULTILINE)
LENGTH = re.compile(r"op_perf\.get_do_bench_config\(.*\)")
BEFORE = """import json, sys, types
for package in ("TritonBench_v1", "TorchBench_v1"):
    sys.modules[package] = sys.modules[package + "." + {name!r}] = sys.modules["__main__"]
sys.modules["performance_utils"] = types.ModuleType("performance_utils")
exec(compile({tools!r}, "performance_utils", "exec"), vars(sys.modules["performance_utils"]))
"""
AFTER = """
{result} = [
    [json.dumps(row["input_size"]), float(row["ms"]), float(row["GB/s"]), float(row["TFLOPS"])]
    for row in json.loads(open(op_perf.op_name + ".json").read())
]
"""


class Point(NamedTuple):
    """One input of a script."""

    size: str
    """As JSON."""
    ms: float
    gbps: float
    tflops: float


class Peaks(NamedTuple):
    """Of a GPU; TFLOPS of half-precision tensor cores."""

    gbps: float
    tflops: float


A100 = Peaks(2039.0, 312.0)


class Score(NamedTuple):
    """`efficiency` in percent; None in T, where upstream has none."""

    speedup: float
    efficiency: float | None


class Timed(Record):
    """A line of the file that a run resumes from."""

    item: str
    answer: str
    """`gold`, or which one."""
    points: tuple[Point, ...]
    reason: str
    """Why there are none."""


def score(half: Half, gold: Sequence[Point], answer: Sequence[Point], peaks: Peaks) -> Score | None:
    """Σ ms of the gold / Σ ms of the answer, and the largest share of a peak that the answer reaches on any input.

    None where upstream drops the item: other inputs than the gold's (T takes those of the answer), a speedup of 10 or
    more, in G an efficiency of 100 % or more, in T a speedup of 0.1 or less.
    """
    if half == "T" and len(gold) != len(answer):
        gold = [point for point in gold if point.size in {other.size for other in answer}]
    if not answer or not gold or (half == "G" and len(gold) != len(answer)):
        return None
    speedup = round(sum(point.ms for point in gold) / sum(point.ms for point in answer), 4)
    shares = (max(p.gbps for p in answer) / peaks.gbps, max(p.tflops for p in answer) / peaks.tflops)
    efficiency = max(round(100 * share, 4) for share in shares)
    if speedup >= 10 or (efficiency >= 100 if half == "G" else speedup <= 0.1):
        return None
    return Score(speedup, efficiency if half == "G" else None)


def means(scores: Iterable[Score | None]) -> dict[str, Any]:
    """Upstream's averages over what is not dropped; None where nothing is left."""
    kept = [one for one in scores if one is not None]
    found: dict[str, Any] = {"scored": len(kept)}
    for name in Score._fields:
        values = [value for one in kept if (value := getattr(one, name)) is not None]
        found[name] = round(sum(values) / len(values), 2) if values else None
    return found


def program(root: Path, item: TritonBenchItem) -> str:
    """The item's script, to be run below the code that it times.

    Raises:
        BenchmarkMissingError: the clone has no such script, or one of another form.
    """
    folder = root / "performance_metrics" / f"perf_{item.half}"
    files = (folder / "golden_metrics" / f"{item.name}_perf.py", folder / "performance_utils.py")
    if missing := [path for path in files if not path.is_file()]:
        raise BenchmarkMissingError(f"there is no {missing[0]}; the clone is not complete")
    script, tools = (FOLDER.sub(r'\1"."', path.read_text()) for path in files)
    script, found = LENGTH.subn(f"op_perf.get_do_bench_config(warmup={WARMUP_MS}, rep={REPEAT_MS})", script)
    if found != 1:
        raise BenchmarkMissingError(f"{files[0]} does not call get_do_bench_config once; it is another revision")
    return BEFORE.format(name=item.name, tools=tools) + script + AFTER.format(result=RESULT)


def golden(root: Path, half: Half) -> dict[str, list[Point]]:
    """Upstream's own times of the golds by item, some of whose files have a `.py` or a dot too many."""
    found = {}
    for path in sorted((root / "performance_metrics" / f"perf_{half}" / "golden_results").glob("*.json")):
        rows = json.loads(path.read_text())
        name = path.name.removesuffix(".json").removesuffix(".py").rstrip(".")
        found[name] = [Point(json.dumps(r["input_size"]), r["ms"], r["GB/s"], r["TFLOPS"]) for r in rows]
    return found


def timed(runner: Runner, root: Path, item: TritonBenchItem, answer: str, code: str) -> Timed:
    """Time one program. Raises: as `program` and `Runner.run`."""
    ran = runner.run(code, item.model_copy(update={"test": program(root, item), "result": RESULT}), SEED)
    points = () if ran.results is None else _points(ran.results)
    reason = "" if points else ran.reason or ran.lost or "its times are no times"
    return Timed(item=item.id, answer=answer, points=points, reason=reason)


def _points(results: Results) -> tuple[Point, ...]:
    """() where what a program says are not times."""
    values = {leaf.path: leaf.value for leaf in results.leaves}
    rows: list[Point] = []
    try:
        while f"[{len(rows)}]" in values:
            size, *numbers = (values[f"[{len(rows)}][{column}]"] for column in range(len(Point._fields)))
            rows.append(Point(size, *map(float.fromhex, numbers)))
    except (KeyError, ValueError, OverflowError):
        return ()
    return tuple(rows) if all(row.ms > 0 and all(map(math.isfinite, row[1:])) for row in rows) else ()


def host_peaks() -> Peaks:
    """This GPU's, from its clocks and widths. Raises: `subprocess.CalledProcessError` where there is none."""
    command = [sys.executable, "-m", "sandbox.bench.copy_rate"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return Peaks(found["nominal_bytes_per_ms"] / 1e6, found["nominal_flops_per_ms"] / 1e9)


def add(
    path: Path, root: Path, published: Callable[[Path, int, int], Sequence[Pair]], runner: Runner, peaks: Peaks,
    console: Console,
) -> dict[str, Any]:  # fmt: skip
    """Time what is right by upstream's execution accuracy in the result of `answers`; add to it, and return the scores.

    Args:
        path: of that result. Times are kept in a file beside it as they come.
        published: the answers of a clone, by limit and seed.

    Raises:
        SystemExit: there is no such result.
        BenchmarkMissingError: as `program`.
    """
    if not path.exists():
        raise SystemExit(f"there is no {path}; run python -m eval.tritonbench answers first")
    found, here = json.loads(path.read_text()), stamp()
    outcomes = {(row["item"], row["answer"]): row for row in found["rows"]}
    pairs = [
        pair
        for pair in published(root, found["settings"]["limit"], found["settings"]["seed"])
        if _right(outcomes.get((pair.item.id, pair.answer), {}))
    ]
    partial = path.with_suffix(f".speed-{digest(machine(here), WARMUP_MS, REPEAT_MS)}.partial.jsonl")
    known = {(one.item, one.answer): one for one in read_records(partial, Timed)}
    faults = 0
    with progress(console) as bars:
        for pair in bars.track(pairs, description="timing"):
            code = upstream_filter(pair.text) if pair.item.half == "G" else pair.text
            for name, one in ((GOLD, pair.item.gold), (pair.answer, code)):
                if (pair.item.id, name) in known:
                    continue
                try:
                    known[pair.item.id, name] = timed(runner, root, pair.item, name, one)
                except FaultError:  # the host's: the next run tries again
                    faults += 1
                else:
                    append_record(partial, known[pair.item.id, name])
    scores = {"faults": faults, **summary(pairs, known, root, peaks)}
    found["summary"]["speed"] = scores
    rows = [one.model_dump(mode="json") for one in known.values()]
    write_json(path, {**found, "speed": {"stamp": here, "peaks": peaks._asdict(), "rows": rows}})
    if not faults:
        partial.unlink(missing_ok=True)
    return scores


def _right(outcome: dict[str, Any]) -> bool:
    tried = outcome.get("filtered") or outcome.get("raw") or {}
    return bool(tried.get("execution"))


def summary(pairs: Sequence[Pair], known: Mapping[tuple[str, str], Timed], root: Path, peaks: Peaks) -> dict[str, Any]:
    """By half: answers that were to be timed, those that were, and the means by both ways to score."""
    halves: tuple[Half, ...] = ("G", "T")
    scores = {}
    for half in halves:
        theirs, found = golden(root, half), []
        own = [pair for pair in pairs if pair.item.half == half]
        for pair in own:
            gold, answer = known.get((pair.item.id, GOLD)), known.get((pair.item.id, pair.answer))
            if answer is not None and answer.points:
                measured = () if gold is None else gold.points
                found.append((theirs.get(pair.item.name, []), measured, answer.points))
        scores[half.lower()] = {
            "right": len(own),
            "timed": len(found),
            "upstream": means(score(half, golds, points, A100) for golds, _, points in found),
            "here": means(score(half, golds, points, peaks) for _, golds, points in found),
        }
    return scores
