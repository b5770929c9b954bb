"""The supervisor's side of the GPUs: pairs of judge and replayer, and whose turn it is on a GPU. No torch here."""

import contextlib
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from typing import Any

from sandbox.pool import Helper, ProcessDiedError

PAIRS = 3
"""Pairs a GPU: while one is timing alone, the others wait with everything prepared."""
FOREVER_SECONDS = 10**7
REPLAYER_MIB = 16384
START_SECONDS = 120.0
STOP_SECONDS = 10.0


class Turns:
    """Many may use a GPU to check candidates; who times one has it alone. Whoever waits to time goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing, self._alone, self._waiting = 0, False, 0

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._alone and not self._sharing)
            self._waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


class Replayer:
    """One locked-down process on a GPU, forked from the replay zygote; ends when told to, or by a fault of its own."""

    def __init__(self, zygote: Helper, gpu: str, log: Path) -> None:
        """Raises:
        ProcessDiedError: the zygote is gone.
        """
        self.channel, theirs = socket.socketpair()
        self._status, status = os.pipe()
        life, self._life = os.pipe()
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        request = {"gpu": gpu, "seconds": FOREVER_SECONDS, "memory_mib": REPLAYER_MIB}
        try:
            zygote.post(request, (output, output, status, life, theirs.fileno()))
        finally:
            theirs.close()
            for fd in (output, status, life):
                os.close(fd)

    def stop(self) -> None:
        """End it, whatever it is doing, and wait until its warden says so, at most `STOP_SECONDS`."""
        self.channel.close()
        if self._life >= 0:
            os.close(self._life)  # the warden kills it, and reports
            select.select([self._status], [], [], STOP_SECONDS)  # a process that the driver holds must not hold us too
            os.close(self._status)
            self._life = -1


class Pair:
    """A judge and its replayer."""

    def __init__(
        self, starter: ThreadPoolExecutor, folder: Path, zygote: Helper, gpu: "Gpu", compiled: Path | None
    ) -> None:
        self.gpu = gpu
        self.judge = Helper(starter, folder, "sandbox.judging.gpu_judge", gpu=gpu.name, compiled=compiled)
        self._zygote, self._log = zygote, folder / "replayer.log"
        self._replayer: Replayer | None = None
        self._attached_to = -1
        self._stop_seconds = 0.0

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """One question to the judge. A replayer that was lost meanwhile is gone afterwards.

        Raises:
            ProcessDiedError: the judge does not answer.
        """
        reply, _ = self.judge.ask(request, seconds)
        if reply.get("lost"):
            self._stop()
        return reply

    def ready(self) -> None:
        """Start what is not running.

        Raises:
            ProcessDiedError: judge or replayer cannot be started.
        """
        started = time.monotonic()
        with self.judge.lock:
            self.judge.channel()
        if self._attached_to != self.judge.generation:
            self._stop()
        if self._replayer is None:
            replayer = Replayer(self._zygote, self.gpu.name, self._log)
            try:
                reply, _ = self.judge.ask({"op": "attach"}, START_SECONDS, (replayer.channel.fileno(),))
            except ProcessDiedError:
                replayer.stop()
                raise
            replayer.channel.close()  # the judge holds it now
            if "fault" in reply:
                replayer.stop()
                tail = self._log.read_text(errors="replace")[-500:] if self._log.exists() else ""
                raise ProcessDiedError(f"the replayer on GPU {self.gpu.name} did not start: {reply['fault']}\n{tail}")
            self._replayer, self._attached_to = replayer, self.judge.generation
            self.gpu.device, self.gpu.stamp = reply["device"], reply["stamp"]
            if self._stop_seconds:
                self.gpu.restarts.append(self._stop_seconds + time.monotonic() - started)

    def _stop(self) -> None:
        if self._replayer is not None:
            started = time.monotonic()
            self._replayer.stop()
            self._replayer, self._stop_seconds = None, time.monotonic() - started

    def close(self) -> None:
        self.judge.end()
        self._stop()


class Gpu:
    """One GPU: its pairs, its turns, and what it is."""

    def __init__(
        self, name: str, starter: ThreadPoolExecutor, folder: Path, zygote: Helper, compiled: Path | None = None
    ) -> None:
        """Args:
        name: as in CUDA_VISIBLE_DEVICES.
        compiled: where compiled baselines are kept; None: for the life of the sandbox.
        """
        self.name = name
        self.turns = Turns()
        self.device: dict[str, Any] = {}
        self.stamp: dict[str, str] = {}
        self.restarts: list[float] = []
        """Seconds that each replacement of a replayer took: ending the old one, starting the new one."""
        self.all = [Pair(starter, folder, zygote, self, compiled) for _ in range(PAIRS)]
        self._trimming = threading.Lock()
        self._free: queue.SimpleQueue[Pair] = queue.SimpleQueue()
        for pair in self.all:
            self._free.put(pair)

    @contextlib.contextmanager
    def pair(self) -> Iterator[Pair]:
        """A living pair to oneself.

        Raises:
            ProcessDiedError: it cannot be started.
        """
        pair = self._free.get()
        try:
            with self.turns.shared():  # a context that starts would disturb whoever is timing
                pair.ready()
            yield pair
        finally:
            self._free.put(pair)

    def trim(self) -> None:
        """Once nobody uses them, all pairs give back the GPU memory that they only keep for speed.

        Raises:
            ProcessDiedError: one does not answer.
        """
        with self._trimming, contextlib.ExitStack() as stack:
            for pair in [stack.enter_context(self.pair()) for _ in self.all]:
                pair.ask({"op": "trim"}, START_SECONDS)

    def identify(self) -> None:
        """Fill in `device` and `stamp`."""
        if not self.device:
            with self.pair():
                pass


def visible_gpus(devices: Path = Path("/dev")) -> tuple[str, ...]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them, without starting CUDA.

    A process of ours gets one of these names, so that what the user or the scheduler has set stays true for it.
    """
    count = sum(path.name[6:].isdigit() for path in devices.glob("nvidia[0-9]*"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(map(str, range(count)))
    names = [name.strip() for name in visible.split(",")]
    return tuple(takewhile(lambda name: name not in ("", "-1"), names))[:count]


def gpu_count() -> int:
    return len(visible_gpus())
