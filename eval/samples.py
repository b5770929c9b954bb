"""Samples on disk: one JSON line a completion, so that an interrupted evaluation goes on where it stopped.

While an evaluation runs, lines are appended and a later line for the same (task, index) replaces the earlier one;
`write_samples` then compacts the file.
"""

from collections.abc import Iterable
from pathlib import Path

from data_pipeline.store import read_records, write_records
from sandbox.types import Record, Verdict

Key = tuple[str, int]
"""(task id, index of the sample)."""


class Sampling(Record):
    """How a completion was drawn."""

    seed: int
    temperature: float
    max_tokens: int


class Sample(Record):
    """One completion for one held-out task, and what the sandbox said of it."""

    task_id: str
    index: int
    """0 … eval.samples - 1 within the task."""
    prompt: str
    """Digest of the rendered prompt, whose text is in `prompts.json`: a sample for another prompt is stale."""
    completion: str
    truncated: bool
    """Ran into eval.max_completion_tokens before it ended."""
    tokens: int
    """Generated tokens, the end-of-sequence token included."""
    sampling: Sampling | None = None
    """None: no model wrote it."""
    verdict: Verdict | None = None
    """None: not judged yet."""

    @property
    def key(self) -> Key:
        return self.task_id, self.index


def read_samples(path: Path) -> dict[Key, Sample]:
    """The last line of each sample; an empty dict where the file is missing. Errors as `read_records`."""
    return {sample.key: sample for sample in read_records(path, Sample)}


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Replace the file atomically by these samples, ordered by task and index."""
    ordered: list[Sample] = sorted(samples, key=lambda sample: sample.key)
    write_records(path, ordered)
