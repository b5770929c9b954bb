"""The reference suite: operators from papers, each with cases, a PyTorch reference and an expert Triton kernel.

`<name>.py` is a task file (`sandbox.task_file`), `experts/<name>.py` a candidate that the sandbox accepts on it. Both
are read as text and neither is imported, so that this package needs no torch.
"""

from pathlib import Path

from sandbox.task_file import TaskFile, Tier, read

FOLDER = Path(__file__).parent


class SuiteTask(TaskFile):
    """One operator of the suite with the cases of one tier."""

    expert: str
    """Python source of a candidate that is right on every case."""


def names() -> tuple[str, ...]:
    """The operators of the suite in alphabetical order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__"))


def load(name: str, tier: Tier) -> SuiteTask:
    """The operator `name` with the cases of `tier`.

    Raises:
        KeyError: no such operator; the message lists those that exist.
        ValueError: the task file misses a constant or a function, or names an unknown tolerance or tier.
    """
    if name not in names():
        raise KeyError(f"no operator {name!r} in the reference suite; known: {', '.join(names())}")
    task = read(FOLDER / f"{name}.py", tier)
    return SuiteTask(**dict(task), expert=(FOLDER / "experts" / f"{name}.py").read_text())
