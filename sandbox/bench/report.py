"""What all benches share: judging many jobs at once with a progress bar, and writing results with their stamp."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from configs.stamp import read_json, stamp, write_json
from sandbox.types import PROTOCOL_VERSION, Broken, Job, Limits, Passed, Rejected

Verdict = Passed | Rejected | Broken
LIMITS = Limits(gpu_seconds=3.0)
SHORT = Limits(trace_seconds=2.0, run_seconds=2.0, compile_seconds=10.0, memory_mib=1024, gpu_seconds=2.0)
"""For candidates that may end in a timeout: they use all of it."""
BEAR_ON_TIMES = ("gpu", "torch", "triton")
"""The parts of a stamp that a kernel's time depends on."""


class Judged(NamedTuple):
    """One verdict, what it cost, and when it came."""

    name: str
    verdict: Verdict
    seconds: float
    finished: float
    """`time.monotonic()` at the verdict."""


class UnfitHostError(Exception):
    """This machine cannot give the numbers that were asked for; the message says what is missing."""


def judge_many(judge: Callable[[Job], Verdict], jobs: Iterable[tuple[str, Job]], threads: int) -> Iterator[Judged]:
    """Verdicts as they come, `threads` jobs at a time. `jobs` is consumed lazily, so it may end by the clock. Who is
    interrupted waits for none of them: they end when the sandbox is closed.
    """
    source = iter(jobs)

    def one(name: str, job: Job) -> Judged:
        began = time.monotonic()
        verdict = judge(job)
        ended = time.monotonic()
        return Judged(name, verdict, ended - began, ended)

    pool = ThreadPoolExecutor(threads, thread_name_prefix="bench")
    try:
        running = {pool.submit(one, *item) for item in islice(source, threads)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(one, *item) for item in islice(source, len(done))}
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def progress(console: Console) -> Progress:
    """A bar that goes to the error stream."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def full_stamp() -> dict[str, str]:
    return {**stamp(), "protocol": PROTOCOL_VERSION}


def write(out: Path, bench: str, summary: dict[str, Any], rows: list[dict[str, Any]], **more: Any) -> Path:
    """Write `<bench>.json` (`sandbox_<bench>.json` for what measures the sandbox itself) with hardware, versions,
    protocol, summary, rows and what else belongs to it: also the `stamp` of a run that writes more than once, and by
    then has changed files itself.
    """
    path = out / (f"{bench}.json" if bench.startswith("suite") else f"sandbox_{bench}.json")
    marks = more.pop("stamp", None) or full_stamp()
    write_json(path, {"bench": bench, "stamp": marks, "summary": summary, **more, "rows": rows})
    return path


def earlier_rows(path: Path, settings: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Rows of a result that is to be gone on with; none where there is none.

    Raises:
        UnfitHostError: its times are those of another GPU, compiler or `settings`, and would be lost.
        UsageError: it is damaged.
    """
    if not path.exists():
        return []
    found = read_json(path)
    here, there = full_stamp() | (settings or {}), found["stamp"] | found.get("settings", {})
    bear = [*BEAR_ON_TIMES, *(settings or {})]
    if other := [key for key in bear if here.get(key) != there.get(key)]:
        raise UnfitHostError(f"{path} was measured with another {', '.join(other)}; give another --out, or move it")
    rows: list[dict[str, Any]] = found["rows"]
    return rows


class Ledger:
    """Rows of a long run as they come, one JSON line each, so that a run that was cut short goes on where it was.

    Rows of another stamp (hardware, versions, commit) do not count. `close` removes the file: the result has them all.
    """

    def __init__(self, out: Path, bench: str) -> None:
        self._path = out / f"sandbox_{bench}.partial.jsonl"
        self.rows: dict[str, dict[str, Any]] = {}
        header = json.dumps(full_stamp())
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        if lines[:1] == [header]:
            for line in lines[1:]:
                with contextlib.suppress(ValueError):  # the last line may have been cut
                    entry = json.loads(line)
                    self.rows[entry["key"]] = entry["row"]
        else:
            out.mkdir(parents=True, exist_ok=True)
            self._path.write_text(header + "\n")

    def add(self, key: str, row: dict[str, Any]) -> None:
        self.rows[key] = row
        with self._path.open("a") as file:
            file.write(json.dumps({"key": key, "row": row}) + "\n")

    def close(self) -> None:
        self._path.unlink()


def how(verdict: Verdict) -> str:
    """`passed`, `broken`, or the stage of a rejection."""
    return verdict.stage if isinstance(verdict, Rejected) else verdict.kind
