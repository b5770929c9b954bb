"""The checks that sources may ask: blocking, from their threads, while the event loop talks to quality and sandbox."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from data_pipeline.probe import Probe, Quality
from data_pipeline.prompt import render_answer
from data_pipeline.sources import Checks
from data_pipeline.task import Task
from data_pipeline.verify import Judging, verify
from sandbox.protocol import Sandbox
from sandbox.types import Broken, Passed, Rejected

T = TypeVar("T")
ROUNDS = 3
"""Times that a solution is tried before its `Broken` verdict is taken for an answer."""


def checks(loop: asyncio.AbstractEventLoop, probe: Probe, sandbox: Sandbox, judging: Judging, threads: int) -> Checks:
    """For sources that are collected in other threads than the one that runs `loop`."""

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    async def probed(tasks: list[Task]) -> list[Quality]:
        return await probe(tasks)

    def worth_posing(tasks: list[Task]) -> list[str | None]:
        return [quality.reason for quality in wait(probed(tasks))]

    def passes(task: Task, solution: str) -> str | None:
        for _ in range(ROUNDS):
            verdict: Passed | Rejected | Broken = wait(verify(task, render_answer(solution), sandbox, judging))
            if not isinstance(verdict, Broken):
                break
        return None if isinstance(verdict, Passed) else f"{getattr(verdict, 'stage', 'broken')}: {verdict.reason}"

    return Checks(worth_posing, passes, threads)
