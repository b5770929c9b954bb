"""Admission of (task, solution) pairs: worth posing (`quality`), and passed by our own sandbox through `verify`.

Every verdict is on disk before the next is waited for, so an interrupted run resumes where it stopped. `Broken` is
our fault: retried, never stored, and after too many in a row the run stops instead of grinding on.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from data_pipeline.prompt import render_answer
from data_pipeline.store import append_record, read_records
from data_pipeline.task import Solution, Task
from data_pipeline.verify import Judging, verify
from sandbox.protocol import Sandbox
from sandbox.types import Broken, Passed, Record, Rejected, Stage

Pair = tuple[Task, str]
ROUNDS = 3
"""Times a pair is tried before its `Broken` verdict is left for the next run."""
BROKEN_IN_A_ROW = 20
QUALITY_BATCH = 200
QUALITY_SECONDS_PER_TASK = 10.0


class Refusal(Record):
    """A proposal that did not become data, and why."""

    task_id: str
    family: str
    code: str
    by: Literal["quality", "sandbox"]
    stage: Stage | None = None
    """Of the sandbox; None for `quality`."""
    reason: str
    log: str = ""


class Quality(Record):
    """What `data_pipeline.quality` says about one task."""

    task_id: str
    reason: str | None
    """Why the task is not worth posing; None if it is."""


class Admission(Record):
    """What came of one call."""

    admitted: tuple[str, ...]
    """Task ids with a stored solution, of this call and of earlier ones."""
    refused: dict[str, int]
    """Refused proposals by stage; `quality` counts as one."""
    broken: int
    judged_now: int


Probe = Callable[[list[Task]], Awaitable[list[Quality]]]
"""Says of each task, in order, whether it is worth posing."""


class SandboxBrokenError(RuntimeError):
    """The sandbox gives no verdicts; nothing was recorded for the pairs concerned."""


async def run_probe(tasks: list[Task]) -> list[Quality]:
    """`data_pipeline.quality` in a process of its own.

    Raises:
        RuntimeError: it failed; the message has the end of its output.
    """
    command = (sys.executable, "-m", "data_pipeline.quality")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    lines = "".join(task.model_dump_json() + "\n" for task in tasks).encode()
    try:
        out, errors = await asyncio.wait_for(process.communicate(lines), 60 + QUALITY_SECONDS_PER_TASK * len(tasks))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    verdicts = [Quality.model_validate_json(line) for line in out.splitlines()]
    if process.returncode or [v.task_id for v in verdicts] != [task.id for task in tasks]:
        tail = errors.decode(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}:\n{tail}")
    return verdicts


async def admit(
    pairs: Sequence[Pair],
    sandbox: Sandbox,
    judging: Judging,
    folder: Path,
    concurrency: int,
    advance: Callable[[int], None] = lambda count: None,
    probe: Probe = run_probe,
) -> Admission:
    """Judge the pairs not yet judged in `folder`, appending to `solutions.jsonl` and `refused.jsonl` there.

    Args:
        concurrency: pairs under judgement at the same time.
        advance: called with the number of pairs just finished, earlier runs' included.

    Raises:
        SandboxBrokenError: too many `Broken` verdicts in a row.
        RuntimeError: the quality process failed.
    """
    done = _already_judged(folder)
    pending = [pair for pair in pairs if (pair[0].id, pair[1]) not in done]
    advance(len(pairs) - len(pending))
    worthy = await _worth_posing(pending, folder, advance, probe)
    judge = _Judge(sandbox, judging, folder, concurrency, advance)
    left = worthy
    for _ in range(ROUNDS):
        left = await judge.round(left)
    return _summary(pairs, folder, broken=len(left), judged_now=len(pending) - len(left))


class _Judge:
    """Runs rounds of verdicts, at most `concurrency` at once, and writes each down as it comes."""

    def __init__(
        self, sandbox: Sandbox, judging: Judging, folder: Path, concurrency: int, advance: Callable[[int], None]
    ) -> None:
        self.sandbox, self.judging, self.folder, self.advance = sandbox, judging, folder, advance
        self.slots = asyncio.Semaphore(concurrency)
        self.broken_in_a_row = 0

    async def round(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Judge all pairs; those whose verdict was `Broken` come back."""
        try:
            async with asyncio.TaskGroup() as group:
                jobs = [(pair, group.create_task(self._judge(*pair))) for pair in pairs]
        except* SandboxBrokenError as errors:
            raise errors.exceptions[0] from None
        return [pair for pair, job in jobs if not job.result()]

    async def _judge(self, task: Task, code: str) -> bool:
        async with self.slots:
            verdict = await verify(task, render_answer(code), self.sandbox, self.judging)
        match verdict:
            case Passed():
                append_record(self.folder / "solutions.jsonl", Solution(task_id=task.id, code=code, verdict=verdict))
            case Rejected(stage=stage, reason=reason, log=log):
                refusal = Refusal(
                    task_id=task.id, family=task.family, code=code, by="sandbox", stage=stage, reason=reason, log=log
                )
                append_record(self.folder / "refused.jsonl", refusal)
            case Broken(reason=reason):
                self.broken_in_a_row += 1
                if self.broken_in_a_row >= BROKEN_IN_A_ROW:
                    raise SandboxBrokenError(
                        f"{self.broken_in_a_row} Broken verdicts in a row, the last: {reason}. Mend the sandbox "
                        "(python -m sandbox doctor) and run again: what was judged so far is kept"
                    )
                return False
        self.broken_in_a_row = 0
        self.advance(1)
        return True


def _already_judged(folder: Path) -> set[tuple[str, str]]:
    solutions = read_records(folder / "solutions.jsonl", Solution)
    refusals = read_records(folder / "refused.jsonl", Refusal)
    return {(s.task_id, s.code) for s in solutions} | {(r.task_id, r.code) for r in refusals}


async def _worth_posing(pairs: list[Pair], folder: Path, advance: Callable[[int], None], probe: Probe) -> list[Pair]:
    """The pairs whose task passes the quality probe; the others are refused."""
    worthy: list[Pair] = []
    for start in range(0, len(pairs), QUALITY_BATCH):
        batch = pairs[start : start + QUALITY_BATCH]
        verdicts = await probe([task for task, _ in batch])
        for (task, code), quality in zip(batch, verdicts, strict=True):
            if quality.reason is None:
                worthy.append((task, code))
                continue
            refusal = Refusal(task_id=task.id, family=task.family, code=code, by="quality", reason=quality.reason)
            append_record(folder / "refused.jsonl", refusal)
            advance(1)
    return worthy


def _summary(pairs: Sequence[Pair], folder: Path, broken: int, judged_now: int) -> Admission:
    proposed = {(task.id, code) for task, code in pairs}
    solutions = read_records(folder / "solutions.jsonl", Solution)
    refusals = [r for r in read_records(folder / "refused.jsonl", Refusal) if (r.task_id, r.code) in proposed]
    return Admission(
        admitted=tuple(s.task_id for s in solutions if (s.task_id, s.code) in proposed),
        refused=dict(Counter(r.stage or r.by for r in refusals)),
        broken=broken,
        judged_now=judged_now,
    )
