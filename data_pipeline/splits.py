"""Splits by operator family: a held-out task is never a re-parametrised training task.

Differs from a random split, which would put `relu(x + y)` into training and `relu(x + y) * 2` into the test.
"""

from collections.abc import Collection, Iterable

from data_pipeline.task import Split, Task


def split_of(family: str, heldout_families: Collection[str]) -> Split:
    """`heldout` for the families that no training stage may see."""
    return "heldout" if family in heldout_families else "train"


def split_tasks(tasks: Iterable[Task], heldout_families: Collection[str], heldout_tasks: int) -> list[Task]:
    """Every task with its split, in the order given; at most `heldout_tasks` of each held-out family are kept.

    Raises:
        ValueError: two tasks share an id, or a reference occurs in both splits.
    """
    kept: list[Task] = []
    per_family: dict[str, int] = {}
    for task in tasks:
        split = split_of(task.family, heldout_families)
        per_family[task.family] = per_family.get(task.family, 0) + 1
        if split == "heldout" and per_family[task.family] > heldout_tasks:
            continue
        kept.append(task.model_copy(update={"split": split}))
    _check_disjoint(kept)
    return kept


def _check_disjoint(tasks: list[Task]) -> None:
    seen: set[str] = set()
    split_of_reference: dict[str, Split] = {}
    for task in tasks:
        if task.id in seen:
            raise ValueError(f"task {task.id} occurs twice; ids must be derived from the content")
        seen.add(task.id)
        if split_of_reference.setdefault(task.reference, task.split) != task.split:
            raise ValueError(f"the reference of task {task.id} is in both splits; families must not share references")
