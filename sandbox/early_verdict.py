"""A verdict before all stages are through; or instead of it the next configuration of an autotuned kernel."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sandbox.types import Broken, Case, Rejected

Done = TypeVar("Done")


class EarlyVerdictError(Exception):
    """Ends a job early with its verdict."""

    def __init__(self, verdict: Rejected | Broken, case: Case | None = None, unfit: bool = False) -> None:
        """Args:
        case: the one that the verdict is about, where there is one.
        unfit: a kernel does not fit its target, or its own assertions; another configuration of it may.
        """
        super().__init__(verdict.reason)
        self.verdict, self.case, self.unfit = verdict, case, unfit

    def within(self, where: str) -> "EarlyVerdictError":
        """The same, with a reason that says where it was."""
        if isinstance(self.verdict, Broken):
            return self
        verdict = self.verdict.model_copy(update={"reason": f"{where}: {self.verdict.reason}"})
        return EarlyVerdictError(verdict, self.case, self.unfit)


@contextmanager
def situated(where: str, case: Case) -> Iterator[None]:
    """A rejection on a public case says where it was."""
    try:
        yield
    except EarlyVerdictError as stop:
        if case.hidden:
            raise
        raise stop.within(where) from stop


def first_fit(attempt: Callable[[int], Done], count: Callable[[], int], until: float) -> Done:
    """`attempt(variant)` with the first configuration that fits: Triton's autotuner passes over the others, too.

    Args:
        count: how many there are, as far as the attempts have shown.
        until: by the monotonic clock; after that no further one is tried.
    """
    variant = 0
    while True:
        try:
            return attempt(variant)
        except EarlyVerdictError as stop:
            variant += 1
            if not stop.unfit or variant >= count() or time.monotonic() > until:
                raise
