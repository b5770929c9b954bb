"""What a candidate is timed beside, recorded by the judge: the reference itself, under `torch.compile`, or a library.

A task may define `eager(*inputs)`, what a PyTorch user would write, where its definition is slow for the sake of being
exact; and `library(*inputs)`, the best call that a library has.
"""

from typing import Any, NamedTuple

import torch

from sandbox.judging.compile_limit import breaks, compiling
from sandbox.judging.exam import Exam
from sandbox.judging.reference import Reference
from sandbox.replaying.graphs import EventTimer, Flush, TimedGraph, recordable, recording_stream, release_excess
from sandbox.types import Baseline

RECOMPILES = 256
"""Shapes and modes for which one function may be compiled; beyond its limit dynamo would silently run eagerly."""


class Recorded(NamedTuple):
    """A baseline over all sets of an exam."""

    timer: TimedGraph | EventTimer
    peak_mib: float
    """Most memory that one call has in use beyond its inputs; outputs count."""


def set_up_compiling() -> None:
    """For the whole process, before anything is compiled."""
    torch._dynamo.config.recompile_limit = RECOMPILES
    torch._inductor.config.compile_threads = 1  # what its worker processes compile, this one would compile again


def record(reference: Reference, exam: Exam, flush: Flush, name: Baseline, pool: Any) -> Recorded:
    """The baseline over all sets, reading the candidate's very inputs and weights; in a pool that all baselines of one
    exam share, as on long sequences those of attention take tens of GiB each.

    All outputs are kept until the end, as the candidate's are: one that is written again and again stays in the L2
    cache, and a small kernel looks faster than it is.
    """
    calls = []
    for number, one in enumerate(exam.drawn):
        tensors = [exam.tensor(number, s, t) if s in exam.inputs else t for s, t in enumerate(one.tensors)]
        calls.append((reference.baseline(one, tensors, name), one.arguments(tensors)))

    def work() -> None:
        with torch.no_grad(), reference.device:
            kept = [function(*arguments) for function, arguments in calls]
            kept.clear()

    with torch.cuda.stream(recording_stream()):
        broken = breaks()
        with compiling(name):
            work()
        # what is compiled already does not break again
        reference.breaks = max(reference.breaks, breaks() - broken)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        with torch.no_grad(), reference.device:
            function, arguments = calls[0]
            function(*arguments)
        peak = (torch.cuda.max_memory_allocated() - before) / 2**20
        if not recordable(work):
            return Recorded(EventTimer(flush, work), peak)
        release_excess()  # a recording has no use for it, and cannot ask for it
        return Recorded(TimedGraph(flush, work, pool=pool), peak)
