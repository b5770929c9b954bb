"""Admission: a task must be worth posing (`quality`), its solution, if it has one, pass our own sandbox (`verify`).

Every verdict is on disk before the next is waited for, so an interrupted run resumes where it stopped. `Broken` is
our fault: retried, never stored, and after too many in a row the run stops instead of grinding on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice

from configs.errors import UsageError
from data_pipeline.ledger import Ledger, Row, State
from data_pipeline.probe import Probe, Quality
from data_pipeline.prompt import render_answer
from data_pipeline.verify import Judging, verify
from sandbox.protocol import Sandbox
from sandbox.types import Broken, Passed, Rejected

ROUNDS = 3
"""Times a pair is tried before its `Broken` verdict is left for the next run."""
BROKEN_IN_A_ROW = 20
QUALITY_BATCH = 50
MAX_REASON = 2000


class SandboxBrokenError(UsageError):
    """The sandbox gives no verdicts; nothing was recorded for the pairs concerned."""


class Admitter:
    """Judges the clean tasks of a ledger, at most `concurrency` at once, and writes each verdict down as it comes."""

    def __init__(
        self, ledger: Ledger, sandbox: Sandbox, judging: Judging, concurrency: int, probe: Probe,
        advance: Callable[[int], None] = lambda count: None,
    ) -> None:  # fmt: skip
        """`advance` is called with the number of tasks just decided."""
        self.ledger, self.sandbox, self.judging, self.concurrency = ledger, sandbox, judging, concurrency
        self.advance, self.probe = advance, probe
        self.judged = self.broken_in_a_row = 0

    async def run(self) -> int:
        """Returns how many tasks were judged now; those that stayed `Broken` stay clean.

        Raises:
            SandboxBrokenError: too many `Broken` verdicts in a row.
            RuntimeError, ProcessDiedError: the quality process failed.
        """
        for _ in range(ROUNDS):
            worthy = aiter(self._worth_posing())
            try:
                async with asyncio.TaskGroup() as group:
                    queue: asyncio.Queue[Row | None] = asyncio.Queue(maxsize=self.concurrency)
                    for _ in range(self.concurrency):
                        group.create_task(self._work(queue))
                    async for row in worthy:
                        await queue.put(row)
                    for _ in range(self.concurrency):
                        await queue.put(None)
            except* SandboxBrokenError as errors:
                raise errors.exceptions[0] from None
        return self.judged

    async def _work(self, queue: "asyncio.Queue[Row | None]") -> None:
        while (row := await queue.get()) is not None:
            await self._judge(row)

    async def _worth_posing(self) -> AsyncIterator[Row]:
        """Clean tasks that pass the quality probe; the others are refused. The next batch is probed meanwhile."""
        rows = self.ledger.rows("clean", "task")
        batch, ahead = self._next_batch(rows)
        while batch:
            verdicts = await ahead
            done, (batch, ahead) = batch, self._next_batch(rows)
            for row, quality in zip(done, verdicts, strict=True):
                if quality.reason is None:
                    yield row
                else:
                    self._decide(row, "refused", "quality", quality.reason)

    def _next_batch(self, rows: Iterator[Row]) -> "tuple[list[Row], asyncio.Task[list[Quality]]]":
        batch = list(islice(rows, QUALITY_BATCH))

        async def probed() -> list[Quality]:
            return await self.probe([row.task() for row in batch]) if batch else []

        return batch, asyncio.create_task(probed())

    async def _judge(self, row: Row) -> None:
        if not row.code:  # a reference alone
            self._decide(row, "admitted")
            return
        verdict = await verify(row.task(), render_answer(row.code), self.sandbox, self.judging)
        match verdict:
            case Passed():
                self._decide(row, "admitted", verdict=verdict.model_dump_json())
            case Rejected(stage=stage, reason=reason, log=log):
                self._decide(row, "refused", stage, f"{reason}\n{log}".strip()[:MAX_REASON])
            case Broken(reason=reason):
                self.broken_in_a_row += 1
                if self.broken_in_a_row >= BROKEN_IN_A_ROW:
                    raise SandboxBrokenError(
                        f"{self.broken_in_a_row} Broken verdicts in a row, the last: {reason}. Mend the sandbox "
                        "(python -m sandbox doctor) and run again: what was judged so far is kept"
                    )
                return
        self.broken_in_a_row = 0

    def _decide(self, row: Row, state: State, refused_by: str = "", reason: str = "", verdict: str = "") -> None:
        self.ledger.decide(row.seq, state, refused_by, reason, verdict)
        self.judged += 1
        self.advance(1)
