"""The record of one scored completion, and reading a run's records back."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from configs.errors import UsageError
from sandbox.types import Record, Verdict


class Rollout(Record):
    """One completion of one RL step: what was asked, what was written, what the sandbox said, what it was worth."""

    step: int
    """Optimiser steps finished when the completion was sampled: 0 is the untrained policy."""
    task_id: str
    completion: str
    verdict: Verdict
    reward: float | None
    """None: not scorable (`Broken`); excluded from the group's mean and from the loss."""


def rollout_files(folder: Path) -> list[Path]:
    """`rollouts.jsonl` of rank 0 and `rollouts-rank<n>.jsonl` of the others, in order."""
    return sorted(folder.glob("rollouts*.jsonl"))


def read_rollouts(path: Path) -> Iterator[Rollout]:
    """Records of one file.

    Raises:
        UsageError: a line is no rollout; the message names file and line.
    """
    with path.open() as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Rollout.model_validate_json(line)
            except ValidationError as error:
                raise UsageError(f"{path}:{number} is no rollout: {error.errors()[0]['msg']}") from error
