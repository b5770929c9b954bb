"""Runs programs of TritonBench, an answer and then the test, in isolated processes: the supervisor's side of `program`.

What a program says of itself is believed as far as upstream believes it: an exit code, a text on stdout, and data.
"""

import mmap
import os
import queue
import re
import signal
from types import TracebackType
from typing import NamedTuple, Self

from pydantic import ValidationError

from data_pipeline.contamination import SEPARATOR
from eval.benchmarks.tritonbench.items import TritonBenchItem
from eval.benchmarks.tritonbench.results import Leaf, Results
from sandbox.helpers import Helpers, ask_untrusted
from sandbox.pool import Helper, Outcome, ProcessDiedError
from sandbox.types import Record

MODULE = "eval.benchmarks.tritonbench.program"
RESULT_BYTES, STDOUT_BYTES = 1 << 29, 1 << 20
MEMORY_MIB = {"cpu": 6144, "gpu": 24576}
"""The numbers of the results lie in it too."""
CONTAINING = frozenset({"pid namespace", "net namespace", "private root", "seccomp"})
"""Layers without which a program on a GPU, which must be let start compilers, is not held."""
NEEDS_GPU = re.compile("CUDA|NVIDIA|nvidia|active drivers|NotImplementedError(?!: Block pointers have been removed)")
"""In an error without a GPU: not the program's fault."""


class FaultError(Exception):
    """Nothing can be said about a program, through no fault of its own."""


class Ran(NamedTuple):
    """One program's end."""

    reason: str
    """Why its exit code was not 0; "" if it was."""
    late: bool
    """Its time was up."""
    needs_gpu: bool
    stdout: bytes
    results: Results | None
    lost: str
    """Why there are no results although it ended well."""
    seconds: float


class _Reply(Record):
    exit: int
    error: str
    leaves: tuple[Leaf, ...] | None
    lost: str


class Runner:
    """Warm processes that fork programs. A context manager."""

    def __init__(self, seconds: float, workers: int, gpus: tuple[str, ...]) -> None:
        """Args:
        seconds: that a program may take.
        workers: programs at once, on each GPU where there are any.
        gpus: as CUDA_VISIBLE_DEVICES names them; none: Triton's interpreter.
        """
        self.seconds, self.gpu = seconds, bool(gpus)
        self.workers = workers * max(1, len(gpus))
        self._helpers = Helpers("programs")
        self._each = [self._helpers.make(MODULE, interpret=not gpus, gpu=gpu) for gpu in gpus or (None,)]
        self._free: queue.SimpleQueue[Helper] = queue.SimpleQueue()
        for number in range(self.workers):
            self._free.put(self._each[number % len(self._each)])

    def __enter__(self) -> Self:
        """Raises:
        RuntimeError: this host does not give what it takes to hold a program on a GPU.
        """
        for helper in self._each:
            helper.start()
        if missing := CONTAINING - set(self._each[0].hello.get("layers", ())) if self.gpu else None:
            self.__exit__(None, None, None)
            raise RuntimeError(
                f"programs cannot be isolated: this host does not give {', '.join(sorted(missing))}; see python -m "
                "sandbox doctor"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._helpers.__exit__(kind, error, trace)

    def run(self, answer: str, item: TritonBenchItem, seed: int) -> Ran:
        """Run an answer with an item's test; thread-safe.

        Raises:
            FaultError: nothing can be said, through no fault of the program.
            RuntimeError: this host cannot isolate programs.
        """
        stdout, memory = os.memfd_create("stdout"), os.memfd_create("results")
        try:
            os.ftruncate(memory, RESULT_BYTES)
            parts = [answer, f"{SEPARATOR}\n{item.test}"]
            request = {"parts": parts, "result": item.result, "seed": seed}
            outcome = self._untrusted(request, (stdout, memory))
            printed = os.pread(stdout, STDOUT_BYTES, 0)
            numbers = mmap.mmap(memory, RESULT_BYTES, access=mmap.ACCESS_COPY)
        finally:
            os.close(stdout)
            os.close(memory)
        return _ran(outcome, printed, numbers, self.seconds, self.gpu)

    def _untrusted(self, request: dict[str, object], files: tuple[int, ...]) -> Outcome:
        helper = self._free.get()
        try:
            memory = MEMORY_MIB["gpu" if self.gpu else "cpu"]
            return ask_untrusted(helper, request, self.seconds, memory, "programs", files)
        except ProcessDiedError as error:
            raise FaultError(str(error)) from error
        finally:
            self._free.put(helper)


def _ran(outcome: Outcome, stdout: bytes, numbers: mmap.mmap, seconds: float, gpu: bool) -> Ran:
    """Raises:
    FaultError: somebody else ended it.
    """
    report, spent = outcome.report, round(outcome.report["seconds"], 2)
    if report["timed_out"]:
        return Ran(f"still running after {seconds:g} s", True, False, stdout, None, "", spent)
    code = report["exit_code"]
    if code == -signal.SIGKILL and not outcome.overflow:
        raise FaultError("the program was killed from outside; the host may be short of memory")
    try:
        reply = _Reply.model_validate_json(outcome.reply)
    except ValidationError:  # it left without a word, or said something else
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        left = "the program ended the process itself"
        return Ran(how if code else "", False, False, stdout, None, left, spent)
    if reply.exit or code:
        needs_gpu = not gpu and bool(NEEDS_GPU.search(reply.error))
        return Ran(reply.error or f"exit code {code}", False, needs_gpu, stdout, None, "", spent)
    results = None if reply.leaves is None else Results(reply.leaves, numbers)
    lost = reply.lost or reply.error or "the program left no results"
    return Ran("", False, False, stdout, results, "" if results else lost, spent)
