"""Where proposals come from: one small file a source, and `data_pipeline.build.sources` lists those of a run.

A source is a name that says which version of it is meant, and a function that gives its proposals: tasks with a Triton
solution, tasks with "" in its place (a reference alone: RL and evaluation can use it), and harvested kernels. It says
where each is from and under which licence, and judges nothing: screening, quality and sandbox do.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from configs.errors import UsageError
from data_pipeline.task import Kernel, Task

Proposal = tuple[Task, str] | Kernel


class Checks(NamedTuple):
    """What a source may ask about proposals that it is not sure of. Both block, and may be called from any thread."""

    worth_posing: Callable[[list[Task]], list[str | None]]
    """Of each task why it is not, None if it is; references run isolated."""
    passes: Callable[[Task, str], str | None]
    """Why the sandbox does not pass a solution; None if it does."""
    threads: int
    """From which it pays to ask at once."""


class Source(NamedTuple):
    """One thing to collect from."""

    name: str
    """With its version: what the ledger has finished under this name is not collected again."""
    proposals: Callable[[], Iterable[Proposal]]
    """The same each time, in the same order: a collection that was interrupted starts over."""


class SourceUnavailableError(UsageError):
    """A package, a repository or a data set cannot be had; the message says which and what to do."""
