"""What `torch.compile` cannot do for a baseline, or not in time, is no fault of a candidate's and is told apart."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch._dynamo.utils import counters

from sandbox.judging.reference import COMPILE_MODES
from sandbox.types import Baseline

COMPILE_SECONDS = 90


class NotCompiledError(Exception):
    """`torch.compile` cannot make this baseline: no fault of the candidate, and asking again does not help."""


@contextmanager
def compiling(name: Baseline) -> Iterator[None]:
    """Compilers fail, and some never come to an end.

    Raises:
        NotCompiledError: this one does.
    """

    def stop(number: int, frame: object) -> None:
        raise NotCompiledError(f"torch.compile ({name}) takes longer than {COMPILE_SECONDS} s")

    if name not in COMPILE_MODES:
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(COMPILE_SECONDS)
    try:
        yield
    except (torch.OutOfMemoryError, NotCompiledError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        raise NotCompiledError(f"torch.compile ({name}) fails: {reason}") from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def breaks() -> int:
    """At how many places `torch.compile` has left code to Python so far, in this process."""
    return sum(sum(counters[kind].values()) for kind in ("graph_break", "unimplemented"))
