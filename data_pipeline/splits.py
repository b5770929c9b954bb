"""Splits by operator family: a held-out task is never a re-parametrised training task.

Differs from a random split, which would put `relu(x + y)` into training and `relu(x + y) * 2` into the test.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

from data_pipeline.task import Split, Task

T = TypeVar("T")


def split_of(family: str, heldout_families: Collection[str]) -> Split:
    """`heldout` for the families that no training stage may see."""
    return "heldout" if family in heldout_families else "train"


def split_tasks(
    tasks: Iterable[tuple[Task, T]], heldout_families: Collection[str], heldout_tasks: int
) -> Iterator[tuple[Task, T]]:
    """Every task with its split, in the order given; at most `heldout_tasks` of each held-out family are kept. What
    comes with a task is passed on.

    Raises:
        ValueError: two tasks share an id, or a reference occurs in both splits.
    """
    per_family: dict[str, int] = {}
    seen: set[bytes] = set()
    split_of_reference: dict[bytes, Split] = {}
    for task, more in tasks:
        split = split_of(task.family, heldout_families)
        per_family[task.family] = per_family.get(task.family, 0) + 1
        if split == "heldout" and per_family[task.family] > heldout_tasks:
            continue
        identity, reference = _digest(task.id), _digest(task.reference)
        if identity in seen:
            raise ValueError(f"task {task.id} occurs twice; ids must be derived from the content")
        seen.add(identity)
        if split_of_reference.setdefault(reference, split) != split:
            raise ValueError(f"the reference of task {task.id} is in both splits; families must not share references")
        yield task.model_copy(update={"split": split}), more


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:8]
