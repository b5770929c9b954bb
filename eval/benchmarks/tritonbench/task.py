"""TritonBench's items as tasks for our sandbox: the calls that an item's test makes, on fresh inputs.

The reference is the gold code, Triton in G and PyTorch in T. Public cases are the distinct calls of the test, with
values of our own; hidden ones are the same calls on heavy-tailed and structured values of any sign. What differs from
other tasks: a candidate gets `judged` of `calls` below it, and may have to change inputs in place.
"""

import functools
import hashlib
import json
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from importlib import metadata
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.progress import track

from data_pipeline.store import append_record, read_records
from data_pipeline.task import Provenance, Task
from eval.benchmarks.tritonbench.calls import JUDGED, adapter
from eval.benchmarks.tritonbench.items import ADDRESS, TritonBenchItem
from eval.benchmarks.tritonbench.recorder import ENDED
from eval.benchmarks.tritonbench.trials import Recording
from sandbox import wire
from sandbox.gpu_pool import visible_gpus
from sandbox.helpers import Helpers, ask_untrusted
from sandbox.local import LocalSandbox
from sandbox.pool import Helper, ProcessDiedError
from sandbox.types import Job, Limits, Policy, Record, Rejected, Target, TimingRequest, Verdict

LICENCE = "Apache-2.0"
SECONDS = {"cpu": 60.0, "cuda": 300.0}
"""Of one item, compilation and all trials included."""
MEMORY_MIB = 6144
REHEARSED_ELEMENTS = 1 << 16
"""A GPU's larger cases would keep the interpreter busy until the deadline."""
AT_GPU = 16
MODULE = "eval.benchmarks.tritonbench.recorder"


class Recorded(Record):
    """A line of the file that keeps what was found."""

    item: str
    digest: str
    """Of gold code, test and the code that records them."""
    device: str
    recording: Recording | None
    reason: str


class TritonBenchTask(Task):
    """A task with code below every candidate."""

    adapter: str
    """Defines `judged`."""

    def job(
        self, candidate: str, *, policy: Policy, targets: tuple[Target, ...], limits: Limits,
        timing: TimingRequest | None,
    ) -> Job:  # fmt: skip
        """As of any task."""
        below = f"{candidate}\n\n{self.adapter}"
        asked = super().job(below, policy=policy, targets=targets, limits=limits, timing=timing)
        return asked.model_copy(update={"entry_point": JUDGED})


def record(items: Sequence[TritonBenchItem], path: Path, workers: int, gpu: bool) -> dict[str, Recording | str]:
    """What each item's test calls, or why that cannot be posed. What `path` holds already is not run again.

    Args:
        path: JSON lines, one an item; appended to as they come.
        workers: items recorded at the same time; on each GPU at most `AT_GPU`, which share its memory.
        gpu: run the gold code on the visible GPUs; else under Triton's interpreter.

    Raises:
        ProcessDiedError: the recording process cannot be started.
        RuntimeError: this host does not let it isolate the gold code.
    """
    device = "cuda" if gpu else "cpu"
    known = {(one.item, one.digest, one.device): one for one in read_records(path, Recorded)}
    missing = [item for item in items if (item.id, _digest(item), device) not in known]
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _Recorder(min(workers, AT_GPU * len(visible_gpus())) if gpu else workers, device) as recorder:
            for one in track(recorder(missing), "recording tests", total=len(missing)):
                append_record(path, one)
                known[one.item, one.digest, one.device] = one
    found = {item.id: known[item.id, _digest(item), device] for item in items}
    return {name: one.recording or one.reason for name, one in found.items()}


def task_of(item: TritonBenchItem, recording: Recording) -> TritonBenchTask:
    """The task that poses an item's calls anew."""
    cases = recording.cases()
    return TritonBenchTask(
        id=item.id,
        family=item.family,
        source=Provenance(origin=f"git:{ADDRESS}", version="clone", path=item.id, licence=LICENCE),
        description=item.asked[0].strip(),
        reference=recording.reference(item.gold),
        entry_point=item.entry_point,
        cases=tuple(case for case in cases if not case.hidden),
        hidden_cases=tuple(case for case in cases if case.hidden),
        tolerance=recording.tolerance,
        difficulty=item.level,
        prompt_format="tritonbench",
        adapter=adapter(recording.calls),
        mutates=recording.calls[0].mutates,
        rehearsal=() if recording.calls[0].elements > REHEARSED_ELEMENTS else None,
    )


Protocol = Callable[[TritonBenchItem, str | Rejected], Verdict | None]
"""The hardened verdict on an answer's code, or on what kept it from having any; None: the item is no task of ours."""


@contextmanager
def protocol(items: Sequence[TritonBenchItem], path: Path, workers: int, gpus: int) -> Iterator[Protocol]:
    """Judge answers to `items` under `triton_only`, without timing, from any number of threads. Errors as `record`.

    Args:
        path: of the recordings.
        workers: items, and later answers, at the same time.
        gpus: as of `LocalSandbox`.
    """
    recordings = record(items, path, workers, gpus != 0)
    sandbox = LocalSandbox(workers=workers, gpus=gpus)

    def judge(item: TritonBenchItem, code: str | Rejected) -> Verdict | None:
        found = recordings.get(item.id)
        if not isinstance(found, Recording):
            return None
        if isinstance(code, Rejected):
            return code
        task = task_of(item, found)
        return sandbox.judge(task.job(code, policy="triton_only", targets=(), limits=Limits(), timing=None))

    try:
        yield judge
    finally:
        sandbox.close()


class _Recorder:
    """The recording process, or processes, and threads that wait for them. A context manager."""

    def __init__(self, workers: int, device: str) -> None:
        self.device = device
        self.helpers = Helpers("record")
        self.threads = ThreadPoolExecutor(workers, thread_name_prefix="record")
        self.zygote = self.helpers.make(MODULE, "cpu", interpret=True)
        self.free: queue.SimpleQueue[Helper] = queue.SimpleQueue()
        gpus = visible_gpus() if device == "cuda" else ()
        for gpu in islice(cycle(gpus), workers):
            self.free.put(self.helpers.make(MODULE, "cuda", gpu=gpu))

    def __enter__(self) -> "_Recorder":
        return self

    def __exit__(self, *error: object) -> None:
        self.threads.shutdown(cancel_futures=True)
        self.helpers.__exit__(None, None, None)

    def __call__(self, items: Iterable[TritonBenchItem]) -> Iterable[Recorded]:
        """In whatever order they come."""
        return (done.result() for done in as_completed([self.threads.submit(self._one, item) for item in items]))

    def _one(self, item: TritonBenchItem) -> Recorded:
        asked = {"name": item.name, "gold": item.gold, "test": item.test, "called": item.called}
        request = {"op": "record", "device": self.device, **asked}
        reply = self._at_gpu(request) if self.device == "cuda" else self._in_jail(request)
        reason = str(reply.get("reason", reply.get("fault", "")))
        try:
            recording = Recording.model_validate(reply["recording"]) if "recording" in reply else None
        except ValidationError:  # the gold code's own process wrote it
            recording, reason = None, "the recording process's reply is not of the expected form"
        return Recorded(item=item.id, digest=_digest(item), device=self.device, recording=recording, reason=reason)

    def _in_jail(self, request: dict[str, Any]) -> dict[str, Any]:
        outcome = ask_untrusted(self.zygote, request, SECONDS["cpu"], MEMORY_MIB, "the gold code")
        if outcome.report["timed_out"]:
            return {"reason": f"the test takes longer than {SECONDS['cpu']:.0f} s without a GPU"}
        try:
            found = wire.loads_foreign(outcome.reply)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"reason": ENDED}

    def _at_gpu(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self.free.get()
        try:
            return process.ask(request, SECONDS["cuda"])[0]
        except ProcessDiedError:  # the next request starts it again
            return {"reason": f"the test takes longer than {SECONDS['cuda']:.0f} s"}
        finally:
            self.free.put(process)


def _digest(item: TritonBenchItem) -> str:
    """Of all that a recording depends on but the device."""
    return hashlib.sha256(json.dumps([item.gold, item.test, item.called, _recorder()]).encode()).hexdigest()[:16]


@functools.cache
def _recorder() -> list[str]:
    """Versions, and the code that records."""
    code = [path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return [*map(metadata.version, ("torch", "triton")), hashlib.sha256("".join(code).encode()).hexdigest()]
