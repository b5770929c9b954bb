"""KernelBench's own protocol, run by us: one problem, one candidate, a process that is given up when it fails.

`upstream_worker` says what the protocol is. This side holds no torch: it starts the worker, reads what it
says, tells a wrong candidate from a fault of the machine, and keeps baselines, with their stamp, for later candidates.
"""

import hashlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, Literal

from pydantic import ValidationError

from configs.stamp import stamp, write_json
from sandbox.gpu_pool import visible_gpus
from sandbox.pool import KEPT_VARIABLES, LOG_BYTES, REPLY_BYTES, ROOT
from sandbox.types import Broken, Record

Precision = Literal["fp32", "fp16", "bf16"]
UpstreamBaseline = Literal["eager", "compile"]
BASELINES: tuple[UpstreamBaseline, ...] = ("eager", "compile")
SEPARATE = ("git", "cpu")
"""Parts of a stamp that say nothing about the time of a reference on a GPU."""
GRACE_SECONDS = 10.0
KILLED = "exit code -9"
"""Not by us: where memory runs out, the host kills."""


class Protocol(Record):
    """Upstream's numbers, from the defaults of its evaluator's script."""

    seed: int = 42
    trials: int = 5
    warmups: int = 3
    runs: int = 100
    precision: Precision = "fp32"


class Request(Record):
    """What the worker is asked."""

    reference: str
    candidate: str
    protocol: Protocol
    baselines: tuple[UpstreamBaseline, ...]
    """Those to time; others are known."""


class Times(Record):
    """Of one model, over all timed calls."""

    mean_ms: float
    """Upstream's number. One outlier moves it."""
    std_ms: float
    min_ms: float
    max_ms: float
    samples: int


class Found(Record):
    """What the protocol says but for times."""

    compiled: bool
    """The file could be imported and defines `ModelNew`; Triton compiles later."""
    correct: bool
    reason: str = ""
    trials_right: int = 0


class Finding(Found):
    """What the worker says of a candidate."""

    ms: tuple[float, ...] = ()
    """Of each timed call."""


class UpstreamVerdict(Found):
    """What KernelBench's protocol says of a candidate."""

    kind: Literal["upstream"] = "upstream"
    candidate: Times | None = None
    """None where it is wrong, and without a GPU: interpreter time is never presented as speed."""
    baselines: dict[UpstreamBaseline, Times]
    speedups: dict[UpstreamBaseline, float]
    """Mean of the baseline / mean of the candidate."""
    jail: tuple[str, ...]
    """Isolation layers that the candidate ran in."""
    stamp: dict[str, str]


def judge(
    reference: str, candidate: str, protocol: Protocol, cache: Path | None = None, seconds: float = 600.0
) -> UpstreamVerdict | Broken:
    """Args:
    reference: source of a KernelBench problem.
    candidate: source that defines `ModelNew`. It is not trusted.
    cache: folder for times of baselines; None: they are measured anew.
    seconds: wall-clock for everything together, the baselines too.
    """
    here = stamp()
    known = _Baselines(cache, reference, protocol, here)
    missing = tuple(name for name in BASELINES if name not in known.times) if visible_gpus() else ()
    request = Request(reference=reference, candidate=candidate, protocol=protocol, baselines=missing)
    with tempfile.TemporaryDirectory(prefix="kernelwright-upstream-", ignore_cleanup_errors=True) as scratch:
        said, ending, log = _run(request, Path(scratch), seconds)
    if measured := said.get("baselines"):
        known.add({name: summary(ms) for name, ms in measured.items()})
    if "jail" not in said:
        return Broken(reason=f"the reference could not be prepared: {ending}; {log[-600:]}")
    if "verdict" not in said and ("fault" in said or ending == KILLED):
        return Broken(reason=f"{said.get('fault', ending)}; {log[-600:]}")
    lost = {"compiled": True, "correct": False, "reason": f"it ended the process: {ending}"}
    try:
        found = Finding.model_validate(said.get("verdict", lost))
    except ValidationError as error:  # the candidate shares the process that says it
        found = Finding(compiled=True, correct=False, reason=f"it forged a reply: {error}"[:300])
    times = summary(found.ms) if found.ms else None
    return UpstreamVerdict(
        **found.model_dump(exclude={"ms"}),
        candidate=times,
        baselines=known.times,
        speedups={} if times is None else {name: one.mean_ms / times.mean_ms for name, one in known.times.items()},
        jail=tuple(said["jail"]),
        stamp=here,
    )


def summary(ms: Sequence[float]) -> Times:
    return Times(mean_ms=fmean(ms), std_ms=pstdev(ms), min_ms=min(ms), max_ms=max(ms), samples=len(ms))


def digest(*parts: Any) -> str:
    """Of JSON values: equal for equal questions, on equal machines where a stamp is among the parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def machine(here: dict[str, str]) -> dict[str, str]:
    """The parts of a stamp that times depend on."""
    return {name: value for name, value in here.items() if name not in SEPARATE}


class _Baselines:
    """Times of a problem's reference, in a file of its own."""

    def __init__(self, folder: Path | None, reference: str, protocol: Protocol, here: dict[str, str]) -> None:
        self.stamp = here
        key = digest(reference, protocol.model_dump(), machine(here))
        self.path = None if folder is None else folder / f"{key}.json"
        self.times: dict[UpstreamBaseline, Times] = {}
        if self.path is not None and self.path.exists():
            kept = json.loads(self.path.read_text())["times"]
            self.times = {name: Times.model_validate(kept[name]) for name in BASELINES if name in kept}

    def add(self, times: dict[UpstreamBaseline, Times]) -> None:
        self.times |= times
        if self.path is not None:
            rows = {name: one.model_dump() for name, one in self.times.items()}
            write_json(self.path, {"stamp": self.stamp, "times": rows})


def _run(request: Request, scratch: Path, seconds: float) -> tuple[dict[str, Any], str, str]:
    """What the worker said, by key, the first of a key counts; how it ended; the end of its output."""
    path, log = scratch / "request.json", scratch / "log"
    path.write_text(request.model_dump_json())
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "eval.benchmarks.kernelbench.upstream_worker", str(writer), str(path)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, pass_fds=(writer,), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=scratch,
            env=environment(scratch), start_new_session=True,
        )  # fmt: skip
    os.close(writer)
    said, in_time = _listen(reader, time.monotonic() + seconds)
    os.close(reader)
    ended = in_time and "verdict" not in said and _ends(process.pid)
    os.killpg(process.pid, signal.SIGKILL)  # and whatever it has started
    code = process.wait()
    ending = f"exit code {code}" if ended else f"no answer in {seconds:g} s"
    return said, ending, log.read_bytes()[-LOG_BYTES:].decode(errors="replace")


def _ends(pid: int) -> bool:
    """Whether a process that says nothing more ends by itself. It stays a zombie, so that its group can be killed."""
    deadline = time.monotonic() + GRACE_SECONDS
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _listen(reader: int, deadline: float) -> tuple[dict[str, Any], bool]:
    """Messages until the verdict, or until nobody can write any more; False: not in time."""
    said: dict[str, Any] = {}
    pending, size = b"", 0
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while "verdict" not in said and size < REPLY_BYTES:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return said, False
            part = os.read(reader, 1 << 16)
            if not part:
                break
            size += len(part)
            *lines, pending = (pending + part).split(b"\n")
            for line in lines:
                said = _message(line) | said
    return said, True


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def environment(scratch: Path) -> dict[str, str]:
    """A small environment without secrets; one GPU, or Triton's interpreter."""
    kept = {name: os.environ[name] for name in (*KEPT_VARIABLES, "CUDA_HOME") if name in os.environ}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = dict.fromkeys(("HOME", "TMPDIR", "TRITON_HOME"), str(scratch))
    gpu = {"CUDA_VISIBLE_DEVICES": visible_gpus()[0]} if visible_gpus() else {"TRITON_INTERPRET": "1"}
    return {**kept, **own, **gpu, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
