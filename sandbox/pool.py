"""Our own long-lived processes: zygotes and judges. Starts them, talks to them, replaces them when they die."""

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sandbox import wire
from sandbox.types import Record

ROOT = Path(__file__).parent.parent
KEPT_VARIABLES = ("PATH", "LANG", "LD_LIBRARY_PATH", "CUDA_DEVICE_ORDER")
REPLY_BYTES = 8 << 20
"""Most that an untrusted child may reply."""
LOG_BYTES = 16 << 10
COMPILE_SHARE = 2
"""`torch.compile` may use one core in so many: while it works on a baseline, candidates are compiled as well."""
START_SECONDS = 180.0
GRACE_SECONDS = 10.0


class ProcessDiedError(Exception):
    """One of our own processes is gone or does not answer."""


class Outcome(Record):
    """How a piece of untrusted work ended, before anyone believes a word of it."""

    reply: bytes
    log: str
    overflow: bool
    report: dict[str, Any]
    """The warden's: timed_out, exit_code, seconds, or setup_error."""


class Helper:
    """A process of ours behind a socket."""

    def __init__(
        self, starter: ThreadPoolExecutor, folder: Path, module: str, *arguments: str, interpret: bool = False,
        gpu: str | None = None, compiled: Path | None = None,
    ) -> None:  # fmt: skip
        """Args:
        starter: the one thread that starts processes; they die with it.
        folder: temporary folder of the process; whoever made it removes it.
        interpret: Triton's interpreter instead of its compiler.
        gpu: the one GPU that the process may use, as CUDA_VISIBLE_DEVICES names it; none by default.
        compiled: where `torch.compile` keeps what it has made, of a judge on a GPU; below `folder` by default.
        """
        self.starter = starter
        self.folder, self.module, self.arguments, self.interpret = folder, module, arguments, interpret
        self.gpu, self.compiled = gpu, compiled
        self.generation = 0
        """How often the process was started."""
        self.lock = threading.Lock()
        self.hello: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def channel(self) -> socket.socket:
        """The socket to a living process; (re)starts it when needed. Call with the lock held.

        Raises:
            ProcessDiedError: it cannot be started.
        """
        if self._process is not None and self._process.poll() is None and self._channel is not None:
            return self._channel
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = self._started(theirs.fileno())
        ours.settimeout(START_SECONDS)
        try:
            self.hello, _ = wire.receive(ours)
        except wire.WireError as error:
            ours.close()
            self.close()
            raise ProcessDiedError(f"{self.module} {' '.join(self.arguments)} did not start: {error}") from error
        self._channel = ours
        self.generation += 1
        return ours

    def _started(self, fd: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", self.module, *self.arguments, str(fd)]
        try:
            starting = self.starter.submit(
                subprocess.Popen,
                command,
                pass_fds=(fd,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # a task's own code may print; what we say goes to stderr
                process_group=0,  # Ctrl-C is for who asked; the helpers end with them
                env=_environment(self.folder, self.interpret, self.gpu, self.compiled),
                cwd="/",
            )
        except RuntimeError as error:
            raise ProcessDiedError(f"{self.module}: whoever starts processes has ended") from error
        return starting.result()

    def start(self) -> None:
        """Start the process if it is not running; who asks later finds out if that failed."""
        with self.lock, contextlib.suppress(ProcessDiedError):
            self.channel()

    def ask(
        self, request: dict[str, Any], seconds: float, fds: tuple[int, ...] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """One question, one answer (judges).

        Raises:
            ProcessDiedError: no answer in time; the process is ended and will be replaced.
        """
        with self.lock:
            channel = self.channel()
            channel.settimeout(seconds)
            try:
                wire.send(channel, request, fds)
                return wire.receive(channel)
            except wire.WireError as error:
                self.close()
                raise ProcessDiedError(f"{self.module}, asked to {request.get('op', 'answer')}: {error}") from error

    def post(self, request: dict[str, Any], fds: tuple[int, ...]) -> None:
        """One request, answered elsewhere (zygotes).

        Raises:
            ProcessDiedError: the process is gone.
        """
        with self.lock:
            channel = self.channel()
            try:
                wire.send(channel, request, fds)
            except wire.WireError as error:
                self.close()
                raise ProcessDiedError(f"{self.module}: {error}") from error

    def end(self) -> None:
        """`close`, after whoever is asking it now."""
        with self.lock:
            self.close()

    def close(self) -> None:
        """End the process; it ends by itself when its socket closes, and is killed if it does not. Call with the lock
        held, or use `end`.
        """
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            try:
                self._process.wait(timeout=2 if self._process.poll() is None else 0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def run_untrusted(
    zygote: Helper, request: dict[str, Any], seconds: float, memory_mib: int, shared: tuple[int, ...]
) -> Outcome:
    """Have `zygote` fork an isolated child for `request`; collect reply, log and the warden's report, all capped.

    Raises:
        ProcessDiedError: the zygote is gone, or the warden never reported.
    """
    pipes = [os.pipe() for _ in range(3)]
    life_read, life_write = os.pipe()
    readers, writers = [r for r, _ in pipes], [w for _, w in pipes]
    try:
        full = {**request, "seconds": seconds, "memory_mib": memory_mib}
        zygote.post(full, (*writers, life_read, *shared))
    except BaseException:
        for fd in (*readers, life_write):
            os.close(fd)
        raise
    finally:
        for fd in (*writers, life_read):
            os.close(fd)
    try:
        reply, log, report, overflow = _collect(readers, time.monotonic() + seconds + GRACE_SECONDS, life_write)
    finally:
        for fd in (*readers, life_write):
            with contextlib.suppress(OSError):
                os.close(fd)
    if not report:
        raise ProcessDiedError("a sandbox child ended without a report from its warden")
    return Outcome(reply=reply, log=log.decode(errors="replace"), overflow=overflow, report=wire.loads(report))


def _collect(readers: list[int], deadline: float, life: int) -> tuple[bytes, bytes, bytes, bool]:
    """Read result, log and status pipes until the warden's status pipe ends; never more than the caps."""
    buffers, caps = [bytearray(), bytearray(), bytearray()], [REPLY_BYTES, LOG_BYTES, 4096]
    overflow = False
    with selectors.DefaultSelector() as selector:
        for number, fd in enumerate(readers):
            selector.register(fd, selectors.EVENT_READ, number)
        while readers[2] in selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            for key, _ in ready:
                part = os.read(key.fd, 1 << 16)
                if not part:
                    selector.unregister(key.fd)
                    continue
                room = caps[key.data] - len(buffers[key.data])
                buffers[key.data] += part[:room]
                if key.data == 0 and len(part) > room and not overflow:
                    overflow = True
                    os.write(life, b"x")  # wakes the warden, which kills the child
        for number in (0, 1):  # what is left in the pipes after the end
            if readers[number] in selector.get_map():
                os.set_blocking(readers[number], False)
                with contextlib.suppress(BlockingIOError):
                    while part := os.read(readers[number], 1 << 16):
                        buffers[number] += part[: caps[number] - len(buffers[number])]
    return bytes(buffers[0]), bytes(buffers[1]), bytes(buffers[2]), overflow


def _environment(folder: Path, interpret: bool, gpu: str | None, compiled: Path | None) -> dict[str, str]:
    """A small environment: no secrets of ours, one thread (more only for `torch.compile`), one GPU at most."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    fixed = {
        "TMPDIR": str(folder),
        "HOME": str(folder),
        "PYTHONPATH": path,
        "CUDA_VISIBLE_DEVICES": gpu or "",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
        "TORCHINDUCTOR_COMPILE_THREADS": str(max(1, len(os.sched_getaffinity(0)) // COMPILE_SHARE) if gpu else 1),
        "TRITON_DEFAULT_FP_FUSION": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if compiled is not None:  # never in a jail: torch makes the folder when it is imported, and may not there
        fixed["TORCHINDUCTOR_CACHE_DIR"] = str(compiled)
    return {**kept, **threads, **fixed, **({"TRITON_INTERPRET": "1"} if interpret else {})}
