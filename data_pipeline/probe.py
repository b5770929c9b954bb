"""Asks of many tasks at once whether they are worth posing: the supervisor's side of `data_pipeline.quality`."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from data_pipeline.task import Task
from sandbox.helpers import Helpers, ask_untrusted
from sandbox.types import Record

EXAMINATION_SECONDS = 60.0
"""Wall-clock of all that is tried on one task."""
MEMORY_MIB = 4096


class Quality(Record):
    """What is said about one task."""

    task_id: str
    reason: str | None
    """Why the task is not worth posing; None if it is."""


class _Reply(Record):
    reason: str | None


Probe = Callable[[list[Task]], Awaitable[list[Quality]]]
"""Says of each task, in order, whether it is worth posing."""


class Prober:
    """The quality process and as many threads as tasks are examined at once. A context manager, and a `Probe`."""

    def __init__(self, workers: int, seconds: float = EXAMINATION_SECONDS) -> None:
        self.seconds = seconds
        self._helpers = Helpers("quality")
        self._helper = self._helpers.make("data_pipeline.quality")
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="quality")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._helpers.__exit__(kind, error, trace)

    async def __call__(self, tasks: list[Task]) -> list[Quality]:
        """Raises:
        ProcessDiedError: the quality process cannot be started, or died twice.
        RuntimeError: this host does not let it isolate a reference.
        """
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(self._threads, self.examine, task) for task in tasks))

    def examine(self, task: Task) -> Quality:
        """One task, without an event loop. Errors as `__call__`."""
        request = {"task": task.model_dump_json()}
        outcome = ask_untrusted(self._helper, request, self.seconds, MEMORY_MIB, "the reference")
        try:
            reason = _Reply.model_validate_json(outcome.reply).reason
        except ValidationError:
            reason = "the reference ended the process that examined it"
        if outcome.report["timed_out"]:
            reason = f"the checks take longer than {self.seconds:.0f} s, the CPU budget of a task"
        return Quality(task_id=task.id, reason=reason)
