"""The sandbox on this machine: the supervisor, which holds the queue and our own processes, and imports no torch.

Each job runs in a worker thread (`sandbox.trial`); everything dangerous happens in processes of `sandbox.pool`.
"""

import asyncio
import logging
import os
import queue
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

from configs.errors import UsageError
from configs.schema import SandboxConfig
from sandbox.compiling.binary import BinaryCache
from sandbox.cpu_trial import CpuTrial
from sandbox.early_verdict import EarlyVerdictError
from sandbox.gpu_pool import Gpu, gpu_count, visible_gpus
from sandbox.gpu_trial import GpuTrial
from sandbox.pool import Helper, ProcessDiedError
from sandbox.trial import Tools
from sandbox.types import Broken, Job, Passed, Rejected
from sandbox.verdict_cache import VerdictCache

__all__ = ["LocalSandbox", "cores", "gpu_count"]
_log = logging.getLogger(__name__)


def cores() -> int:
    """CPU cores that this process may use: under SLURM or taskset fewer than the machine has."""
    return len(os.sched_getaffinity(0))


class LocalSandbox:
    """Judges candidates on this machine. An async context manager; safe to use from several threads and event loops."""

    def __init__(self, workers: int = 0, gpus: int = 0, cache: Path | None = None, verdicts: bool = True) -> None:
        """Args:
            workers: candidates judged at the same time; 0 means one a CPU core.
            gpus: how many GPUs to use; 0: none, kernels run under Triton's interpreter; -1: all that are visible.
            cache: folder for verdicts, compiled kernels and compiled baselines that later runs may reuse; None: nothing
                is kept.
            verdicts: whether verdicts are kept there; who measures does not want yesterday's times.

        Raises:
            UsageError: there are fewer GPUs.
        """
        if gpus > gpu_count():
            raise UsageError(f"gpus={gpus}, but this machine shows {gpu_count()}; use -1 for all, 0 for the CPU")
        count = workers or cores()
        self._folder = Path(tempfile.mkdtemp(prefix="kernelwright-"))
        self._folder.chmod(0o755)
        # Processes die with the thread that started them, so one thread starts them all and lives as long as we do.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox-starter")
        self.tracer, self.compiler, self.replayers = (
            Helper(self._starter, self._folder, "sandbox.jail.zygote", role) for role in ("trace", "compile", "replay")
        )
        self.interpreter = Helper(self._starter, self._folder, "sandbox.jail.zygote", "interpret", interpret=True)
        self.judges: queue.SimpleQueue[Helper] = queue.SimpleQueue()
        self._all_judges = [
            Helper(self._starter, self._folder, "sandbox.judging.judge", interpret=True) for _ in range(count)
        ]
        for judge in self._all_judges:
            self.judges.put(judge)
        names = visible_gpus() if gpus < 0 else visible_gpus()[:gpus]
        compiled = None if cache is None else cache.absolute() / "inductor"
        self._gpus = [Gpu(name, self._starter, self._folder, self.replayers, compiled) for name in names]
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sandbox")
        self._tools = Tools(self.tracer, self.compiler)
        self._binaries = BinaryCache(None if cache is None else cache / "binaries")
        self._verdicts = VerdictCache(cache / "verdicts") if cache is not None and verdicts else None
        self._described: dict[tuple[str, ...], list[object]] = {}
        self._turn = 0
        self._warmed = threading.Lock()

    @classmethod
    def from_config(cls, config: SandboxConfig) -> Self:
        """The sandbox that `config.sandbox` asks for."""
        return cls(config.workers, config.gpus, None if config.cache is None else Path(config.cache))

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
        try:
            if self._verdicts is None:
                return self._judge(job)
            key = self._verdicts.key(job, self.stamp())
            verdict = self._verdicts.get(key)
            if verdict is None:
                verdict = self._judge(job)
                self._verdicts.put(key, verdict)
            return verdict
        except ProcessDiedError as error:
            return Broken(reason=str(error)[:1000])
        except Exception as error:  # a bug of ours that a candidate has found: it must not end a training run
            _log.exception("the sandbox itself failed on a job")
            return Broken(reason=f"the sandbox itself failed: {type(error).__name__}: {error}"[:1000])

    def _warm(self) -> None:
        """At the first job: start everything it will need at the same time, instead of one after the other."""
        if not self._warmed.acquire(blocking=False):
            return
        helpers = [self.tracer, self.interpreter, *([self.compiler, self.replayers] if self._gpus else [])]
        judges = [pair.judge for gpu in self._gpus for pair in gpu.all] + self._all_judges[:2]
        for helper in (*helpers, *judges):
            threading.Thread(target=helper.start, daemon=True).start()

    def _judge(self, job: Job) -> Passed | Rejected | Broken:
        self._warm()
        try:
            if not self._gpus:
                return self._interpret(job)
            if job.rehearsal:
                small = {"cases": job.rehearsal, "rehearsal": (), "targets": ()}
                self._rehearse(job.model_copy(update=small))
            self._turn += 1
            gpu = self._gpus[self._turn % len(self._gpus)]
            return GpuTrial(self._tools, gpu, self._binaries, self._described, job).verdict()
        except EarlyVerdictError as stop:
            return stop.verdict

    def _rehearse(self, job: Job) -> None:
        """Raises `EarlyVerdictError` for a rejection. What the interpreter itself cannot do is left to the GPU."""
        try:
            self._interpret(job)
        except EarlyVerdictError as stop:
            if isinstance(stop.verdict, Rejected):
                raise

    def _interpret(self, job: Job) -> Passed:
        judge = self.judges.get()
        try:
            return CpuTrial(self._tools, self.interpreter, judge, job).verdict()
        finally:
            self.judges.put(judge)

    def stamp(self) -> dict[str, str]:
        """Hardware and versions that a verdict depends on."""
        if self._gpus:
            self._gpus[0].identify()
            return self._gpus[0].stamp
        return {"executor": "interpreter", **{name: metadata.version(name) for name in ("torch", "triton")}}

    def layers(self) -> frozenset[str]:
        """Isolation layers that this host gives (starts the tracer if need be)."""
        with self.tracer.lock:
            self.tracer.channel()
        return frozenset(self.tracer.hello["layers"])

    def restarts(self) -> list[float]:
        """Seconds that each replacement of a GPU's replayer took so far."""
        return [seconds for gpu in self._gpus for seconds in gpu.restarts]

    def trim(self) -> None:
        """Give back GPU memory that is only kept for speed (arenas, allocator caches); waits for running jobs.

        Raises:
            ProcessDiedError: a process of the sandbox does not answer.
        """
        for gpu in self._gpus:
            gpu.trim()

    def close(self) -> None:
        """End all processes; what is still being judged comes out `Broken`."""
        self._starter.shutdown()  # the helpers die with the thread that has started them, and nobody starts others
        for pair in (pair for gpu in self._gpus for pair in gpu.all):
            pair.close()
        for helper in (self.tracer, self.interpreter, self.compiler, self.replayers, *self._all_judges):
            helper.end()
        self._threads.shutdown(cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)
