"""TritonBench's own protocol, run by us in isolation, and the comparison that it lacks.

1. Call accuracy: answer, separator and the gold's test run as one program that ends with exit code 0. Of an answer to G
   upstream keeps imports and functions only; both ways are tried.
2. Execution accuracy: its stdout is the gold's, which is nearly always empty, so that nearly every call is right.
3. Ours: gold and answer run in processes of their own under one seed, and what they leave in the test's result variable
   is compared. The answer is what our extraction finds, not upstream's, which keeps the closing fence.

Upstream accepts what ends with exit code 0, computed or not; ours does not accept results that are not there. Neither
asks whether a Triton kernel did the work: the hardened verdict does.
Not covered: an answer that draws other random numbers than the gold within a test gets other inputs from there on.
"""

import ast
import mmap
import os
import queue
import re
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from pydantic import ValidationError

from data_pipeline.contamination import SEPARATOR
from eval.benchmarks.results import Leaf, Results, difference, telling
from eval.benchmarks.tritonbench import TritonBenchItem, upstream_filter
from sandbox.pool import Helper, Outcome, ProcessDiedError, run_untrusted
from sandbox.types import Record, Rejected, Verdict

RESULT_BYTES, STDOUT_BYTES = 1 << 30, 1 << 20
MEMORY_MIB = {"cpu": 6144, "gpu": 24576}
"""The numbers of the results lie in it too."""
PER_GPU = 4
"""Programs at once on one GPU: most of their time goes into compiling."""
CONTAINING = frozenset({"pid namespace", "net namespace", "private root", "seccomp"})
NEEDS_GPU = re.compile(r"CUDA|NVIDIA|nvidia|active drivers|libdevice|NotImplementedError")
"""In an error without a GPU: not the program's fault."""
NO_GPU, LATE = "needs a GPU", "still running after"


class FaultError(Exception):
    """Nothing can be said about a program, through no fault of its own."""


class Ran(NamedTuple):
    """One program's end."""

    reason: str
    """Why its exit code was not 0; "" if it was."""
    needs_gpu: bool
    stdout: bytes
    results: Results | None
    lost: str
    """Why there are no results although it ended well."""
    seconds: float


class Gold(NamedTuple):
    """An item's gold code, run twice under one seed."""

    first: Ran
    again: Ran
    reason: str
    """Why nothing can be compared with its results; "" if it can."""


class Tried(Record):
    """What upstream says of one program."""

    call: bool | None
    """None: there is no GPU, and the program or the gold needs one."""
    execution: bool | None
    """False where `call` is."""
    reason: str
    seconds: float


class Compared(Record):
    """One answer, under upstream's protocol and by its results."""

    kind: Literal["compared"] = "compared"
    item: str
    answer: str
    """File and number of the answer; `gold`."""
    raw: Tried
    filtered: Tried | None
    """None in T, where upstream filters nothing."""
    right: bool | None
    """Results are the gold's; None: there are none to compare with, or no GPU."""
    reason: str
    telling: bool
    """Whether the gold's results show anything of what was computed."""
    hardened: Verdict | None = None
    """None: the item is no task of ours, or nobody asked."""

    @property
    def upstream(self) -> Tried:
        return self.filtered or self.raw


class Fault(Record):
    """Ours, or the host's: the answer is tried again when the run is."""

    kind: Literal["fault"] = "fault"
    item: str
    answer: str
    reason: str


class _Reply(Record):
    exit: int
    error: str
    leaves: tuple[Leaf, ...] | None
    lost: str


class Runner:
    """Warm processes that run programs, one for each GPU or one without, and how many at once. A context manager."""

    def __init__(self, seconds: float, workers: int, gpus: tuple[str, ...]) -> None:
        self.seconds, self.gpu = seconds, bool(gpus)
        self.workers = len(gpus) * PER_GPU if gpus else workers
        self._folder = Path(tempfile.mkdtemp(prefix="kernelwright-programs-"))
        self._folder.chmod(0o755)
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="program-starter")  # processes die with their thread
        self._helpers = [
            Helper(self._starter, self._folder, "eval.benchmarks.program", interpret=not gpus, gpu=gpu)
            for gpu in gpus or (None,)
        ]
        self._free: queue.SimpleQueue[Helper] = queue.SimpleQueue()
        for number in range(self.workers):
            self._free.put(self._helpers[number % len(self._helpers)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for helper in self._helpers:
            helper.close()
        self._starter.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

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
            try:
                outcome = run_untrusted(helper, request, self.seconds, memory, files)
            except ProcessDiedError:  # once more, in a new process
                outcome = run_untrusted(helper, request, self.seconds, memory, files)
        except ProcessDiedError as error:
            raise FaultError(str(error)) from error
        finally:
            self._free.put(helper)
        missing = CONTAINING - set(helper.hello["layers"]) if self.gpu else None
        if missing or "setup_error" in outcome.report:
            why = outcome.report.get("setup_error") or f"this host does not give {', '.join(sorted(missing or ()))}"
            raise RuntimeError(f"programs cannot be isolated: {why}; see python -m sandbox doctor")
        return outcome


def gold_of(runner: Runner, item: TritonBenchItem, seed: int) -> Gold:
    """Raises: as `Runner.run`."""
    first = runner.run(item.gold, item, seed)
    if first.reason.startswith(LATE) and not runner.gpu:  # the interpreter is slow, and the gold ends elsewhere
        first = first._replace(needs_gpu=True)
    if first.reason:
        return Gold(first, first, f"the gold does not run here: {first.reason}")
    again = runner.run(item.gold, item, seed)
    if first.results is None:
        reason = f"the gold's results are lost: {first.lost}" if item.result else "its test leaves no results"
        return Gold(first, again, reason)
    if again.results is None:
        return Gold(first, again, f"the gold does not run twice: {again.reason or again.lost}")
    unlike = difference(first.results, again.results)
    return Gold(first, again, unlike and f"the gold does not agree with itself: {unlike}")


def compare(
    runner: Runner, item: TritonBenchItem, answer: str, text: str, code: str | Rejected, gold: Gold, seed: int,
    verdict: Verdict | None,
) -> Compared | Fault:  # fmt: skip
    """Try one answer in every way.

    Args:
        answer: which one, as the outcome names it.
        text: what upstream takes as its code.
        code: what our extraction takes as its code, or why it takes nothing.
        gold: of the item, under the same `seed`.
        verdict: the hardened one.

    Raises:
        RuntimeError: this host cannot isolate programs.
    """
    ran = {_normal(item.gold): gold.again}

    def run(program: str) -> Ran:
        key = _normal(program)
        if key not in ran:
            ran[key] = runner.run(program, item, seed)
        return ran[key]

    def tried(program: str) -> Tried:
        if gold.first.needs_gpu:
            return Tried(call=None, execution=None, reason=NO_GPU, seconds=0.0)
        found = run(program)
        if found.needs_gpu:
            return Tried(call=None, execution=None, reason=f"{NO_GPU}: {found.reason}", seconds=found.seconds)
        same = not found.reason and found.stdout == gold.first.stdout
        return Tried(call=not found.reason, execution=same, reason=found.reason, seconds=found.seconds)

    try:
        raw = tried(text)
        filtered = tried(upstream_filter(text)) if item.half == "G" else None
        right, reason = _right(gold, code.reason if isinstance(code, Rejected) else run(code))
    except FaultError as fault:
        return Fault(item=item.id, answer=answer, reason=str(fault))
    tells = gold.first.results is not None and telling(gold.first.results)
    return Compared(
        item=item.id, answer=answer, raw=raw, filtered=filtered, right=right, reason=reason, telling=tells,
        hardened=verdict,
    )  # fmt: skip


def _right(gold: Gold, found: Ran | str) -> tuple[bool | None, str]:
    """Args:
    found: the answer's run, or why there is no code to run.
    """
    if gold.first.needs_gpu or (isinstance(found, Ran) and found.needs_gpu):
        return None, NO_GPU
    if gold.reason or gold.first.results is None:
        return None, gold.reason
    if isinstance(found, str):
        return False, found
    if found.results is None:
        return False, found.reason or f"no results: {found.lost}"
    reason = difference(gold.first.results, found.results)
    return not reason, reason


def _ran(outcome: Outcome, stdout: bytes, numbers: mmap.mmap, seconds: float, gpu: bool) -> Ran:
    """Raises:
    FaultError: somebody else ended it.
    """
    report, spent = outcome.report, round(outcome.report["seconds"], 2)
    if report["timed_out"]:
        return Ran(f"{LATE} {seconds:g} s", False, stdout, None, "", spent)
    code = report["exit_code"]
    if code == -signal.SIGKILL and not outcome.overflow:
        raise FaultError("the program was killed from outside; the host may be short of memory")
    try:
        reply = _Reply.model_validate_json(outcome.reply)
    except ValidationError:  # it left without a word, or said something else
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        left = "the program ended the process itself"
        return Ran("" if code == 0 and not outcome.reply else how, False, stdout, None, left, spent)
    if reply.exit or code:
        needs_gpu = not gpu and bool(NEEDS_GPU.search(reply.error))
        return Ran(reply.error or f"exit code {code}", needs_gpu, stdout, None, "", spent)
    results = None if reply.leaves is None else Results(reply.leaves, numbers)
    lost = reply.lost or reply.error or "the program left no results"
    return Ran("", False, stdout, results, "" if results else lost, spent)


def _normal(code: str) -> str:
    """The same for programs that differ in comments and white space only."""
    try:
        return ast.dump(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
