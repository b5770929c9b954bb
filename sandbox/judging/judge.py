"""The judge: draws inputs with secret seeds, holds the reference and the truth, and compares. A process of its own.

No candidate code of any kind ever runs here; a candidate reaches it as bytes in shared memory. What does run here is a
task's own code, which may be from anywhere, so the process is locked down before it hears a question. One question at a
time over a socket: `describe` (layouts of all cases), `draw` (one case into a fresh arena), `compare` (after the run).
On a GPU there are more (`sandbox.judging.gpu_judge`), and it is not locked down: it compiles, and needs the driver.
"""

import os
import socket
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from sandbox import wire
from sandbox.jail import isolation
from sandbox.judging.exam import Exam, ask, telling
from sandbox.judging.reference import BrokenReferenceError, Reference
from sandbox.plans import arena
from sandbox.plans.plan import Buffer, View
from sandbox.triton_private import reference as triton_reference
from sandbox.types import Case, Tolerance

Reply = tuple[dict[str, Any], tuple[int, ...]]
Question = Callable[[dict[str, Any], list[int]], Reply]
"""(request, descriptors) → (reply, descriptors to send along)."""


class Judge:
    """State between the questions about one job."""

    def __init__(self) -> None:
        self.reference: Reference | None = None
        self.cases: list[Case] = []
        self.exam: Exam | None = None

    def describe(self, request: dict[str, Any], files: list[int]) -> Reply:
        """Shapes, dtypes and structure of every case's inputs; values are thrown away."""
        self.reference = Reference(request["reference"], request["entry_point"])
        self.cases = [Case.model_validate(c) for c in request["cases"]]
        return {"cases": [self.reference.describe(case) for case in self.cases]}, ()

    def draw(self, request: dict[str, Any], files: list[int]) -> Reply:
        """Lay out the plan's buffers, poison them, fill in fresh inputs; reply with layout and descriptor. Buffers in
        `kept` are as the last run left them, which was of the same plan.
        """
        assert self.reference is not None
        reference, mutates = self.reference, tuple(request["mutates"])
        buffers = [Buffer.model_validate(b) for b in request["buffers"]]
        where = arena.layout([b.nbytes for b in buffers])
        fd, memory = arena.create(where.nbytes)

        def put() -> Exam:
            drawn = reference.draw(self.cases[request["case"]])
            same_layout(reference.description(drawn), request["described"])
            return Exam(ask(reference, [drawn], mutates), buffers, where, memory, mutates)

        earlier, self.exam = self.exam, telling(put) if request["telling"] else put()
        for slot in (where.slots[number] for number in request["kept"]):
            assert earlier is not None
            span = slice(slot.offset, slot.offset + slot.nbytes)
            memory[span] = earlier.memory[span]
        return {"layout": where.model_dump(), "tells": self.exam.tells()}, (fd,)

    def compare(self, request: dict[str, Any], files: list[int]) -> Reply:
        assert self.exam is not None
        views = [View.model_validate(v) for v in request["views"]]
        return self.exam.check(views, request["structure"], Tolerance.model_validate(request["tolerance"])), ()


def same_layout(drawn: dict[str, Any], described: dict[str, Any]) -> None:
    """Raises:
    BrokenReferenceError: a task's inputs are not what was described before.
    """
    if drawn != described:
        raise BrokenReferenceError("the task's inputs change their shapes from one draw to the next")


def answer(channel: socket.socket, questions: Mapping[str, Question]) -> None:
    """Answer until the supervisor goes away. Whatever task code raises is a `fault`, with its traceback."""
    wire.send(channel, {"ready": True})
    while True:
        try:
            request, files = wire.receive(channel)
        except wire.WireError:
            return
        reply: dict[str, Any]
        fds: tuple[int, ...] = ()
        try:
            reply, fds = questions[request["op"]](request, files)
        except Exception as error:  # task code may raise anything; it becomes Broken
            reply = {"fault": f"{type(error).__name__}: {error}"[:400], "log": traceback.format_exc()[-4000:]}
        wire.send(channel, reply, fds)
        for fd in fds:
            os.close(fd)


def main() -> None:
    """`python -m sandbox.judging.judge FD`."""
    isolation.die_with_parent()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # a task's own, to whoever judges
    torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3))  # reads about the processor, once
    triton_reference.prepare()
    folder = isolation.lock_down_judge(Path(tempfile.mkdtemp()))
    os.environ.update(HOME=str(folder), TMPDIR=str(folder))
    tempfile.tempdir = str(folder)
    judge = Judge()
    questions: tuple[Question, ...] = (judge.describe, judge.draw, judge.compare)
    answer(socket.socket(fileno=int(sys.argv[1])), {question.__name__: question for question in questions})


if __name__ == "__main__":
    main()
