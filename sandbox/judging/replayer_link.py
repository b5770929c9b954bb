"""The judge's line to its replayer: one question, one answer, and what an answer that does not come means."""

import os
import socket
from typing import Any

import torch

from sandbox import wire
from sandbox.judging.exam import rejected
from sandbox.judging.judge import Question, Reply
from sandbox.replaying.graphs import release_excess

ATTACH_SECONDS = 60.0


class StopError(Exception):
    """Ends the judge's present question early; `reply` is its answer. It says `lost` where the replayer is gone or must
    go.
    """

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__(str(reply))
        self.reply = reply


class ReplayerLink:
    """At most one living replayer."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._warm = False

    def attach(self, fd: int) -> None:
        """A new replayer, whose socket `fd` is; returns when it is ready.

        Raises:
            wire.WireError: it did not start.
        """
        self._drop()
        self._warm = False
        self._channel = socket.socket(fileno=fd)
        self._channel.settimeout(ATTACH_SECONDS)
        wire.receive(self._channel)

    def ask(self, question: dict[str, Any], seconds: float, fds: tuple[int, ...] = ()) -> dict[str, Any]:
        """Raises:
        StopError: the replayer hangs, died, lost its context, or the kernel is at fault.
        """
        if self._channel is None:
            raise StopError({"fault": "there is no replayer", "lost": True})
        self._channel.settimeout(seconds)
        try:
            wire.send(self._channel, question, fds)
            reply, _ = wire.receive(self._channel)
        except wire.WireError as error:
            hung = isinstance(error.__cause__, TimeoutError)
            late = rejected("timeout", f"still running after {seconds:g} s on the GPU")
            reply = {**(late if hung else {"fault": f"the replayer died: {error}"}), "lost": True}
        else:
            if "rejected" in reply:
                reply = {**rejected("launch", reply["rejected"]), "lost": reply["lost"]}
        if reply.get("lost"):
            self._drop()
        if "rejected" in reply or "fault" in reply:
            raise StopError(reply)
        return dict(reply)

    def warm_up(self, seconds: float) -> None:
        """Load torch's libraries, once: the first candidate that needs them has no more time than others. Errors as
        `ask`.
        """
        if not self._warm:
            self.ask({"op": "warm_up"}, seconds)
            self._warm = True

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def stoppable(question: Question) -> Question:
    """The question; a `StopError` is its answer, and a judge that has lost its CUDA context ends. With the answer the
    GPU is done too: what a judge leaves running would slow down those who are being timed.
    """

    def ask(request: dict[str, Any], files: list[int]) -> Reply:
        try:
            try:
                reply = question(request, files)
            except StopError as stop:
                reply = stop.reply, ()
            torch.cuda.synchronize()
            return reply
        except Exception:
            _end_if_lost()
            raise
        finally:
            release_excess()

    return ask


def _end_if_lost() -> None:
    """A reference that reads where it may not takes the CUDA context with it; the supervisor starts another judge."""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        os._exit(1)
