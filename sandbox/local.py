"""The sandbox on this machine: the supervisor, which holds the queue and our own processes, and imports no torch.

Each job runs in a worker thread (`sandbox.trial`); everything dangerous happens in processes of `sandbox.pool`.
"""

import asyncio
import os
import queue
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.pool import Helper, ProcessDiedError
from sandbox.trial import EarlyVerdictError, Trial
from sandbox.types import Broken, Job, Passed, Rejected


class LocalSandbox:
    """Judges candidates on this machine's CPU. An async context manager; safe to use from several event loops."""

    def __init__(self, workers: int = 0) -> None:
        """Args:
        workers: candidates judged at the same time; 0 means one a CPU core.
        """
        count = workers or os.cpu_count() or 1
        self._folder = Path(tempfile.mkdtemp(prefix="kernelwright-"))
        self._folder.chmod(0o755)
        # Processes die with the thread that started them, so one thread starts them all and lives as long as we do.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox-starter")
        self.tracer = Helper(self._starter, self._folder, "sandbox.zygote", "trace")
        self.interpreter = Helper(self._starter, self._folder, "sandbox.zygote", "interpret", interpret=True)
        self.compiler = Helper(self._starter, self._folder, "sandbox.zygote", "compile")
        self.judges: queue.SimpleQueue[Helper] = queue.SimpleQueue()
        self._all_judges = [Helper(self._starter, self._folder, "sandbox.judge") for _ in range(count)]
        for judge in self._all_judges:
            self.judges.put(judge)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sandbox")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def run(self, job: Job) -> Passed | Rejected | Broken:
        """Judge one candidate. Never raises for anything a candidate, a task or the host does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.judge, job)

    def judge(self, job: Job) -> Passed | Rejected | Broken:
        """`run` without an event loop; blocks."""
        judge = self.judges.get()
        try:
            return Trial(self.tracer, self.interpreter, self.compiler, judge, job).verdict()
        except EarlyVerdictError as stop:
            return stop.verdict
        except ProcessDiedError as error:
            return Broken(reason=str(error))
        finally:
            self.judges.put(judge)

    def layers(self) -> frozenset[str]:
        """Isolation layers that this host gives (starts the tracer if need be)."""
        with self.tracer.lock:
            self.tracer.channel()
        return frozenset(self.tracer.hello["layers"])

    def close(self) -> None:
        """End all processes."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        closing = [
            threading.Thread(target=h.close) for h in (self.tracer, self.interpreter, self.compiler, *self._all_judges)
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        self._starter.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)
