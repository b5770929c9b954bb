"""Reads the corpora: candidates with their headers, and `Job`s made of them and the tasks in `tests/tasks`.

A candidate's docstring starts with one sentence on the mechanism and then `key: value` lines (see `Candidate`).
Nothing here executes a candidate or a task file.
"""

from dataclasses import dataclass
from pathlib import Path

from sandbox import task_file
from sandbox.types import TOLERANCES, Job, Limits

HERE = Path(__file__).parent
EXPLOITS = HERE / "exploits"
HONEST = HERE / "honest"
TASKS = HERE / "tasks"
NAIVE = ("pass", "fail", "hangs", "crashes", "harms")
"""What `naive_harness.py` may do with an exploit."""


@dataclass(frozen=True)
class Candidate:
    """One file of a corpus and what its header says."""

    path: Path
    code: str
    mechanism: str
    family: str
    """`A` to `E` of the threat model for an exploit; the feature shown for an honest file."""
    task: str
    stages: tuple[str, ...]
    """Stages at which an exploit may be rejected; empty for an honest file."""
    naive: str
    """What `naive_harness.py` does with an exploit: `pass`, `fail`, `hangs`, `crashes` or `harms`."""


def header_of(docstring: str) -> tuple[str, dict[str, str]]:
    """The first sentence and the `key: value` lines before the first free text after them."""
    lines = [line.strip() for line in docstring.strip().splitlines()]
    fields: dict[str, str] = {}
    for line in lines[1:]:
        key, colon, value = line.partition(":")
        if colon and key in ("family", "task", "stage", "naive"):
            fields[key] = value.strip()
    return lines[0], fields


def read_candidate(path: Path) -> Candidate:
    """A candidate file with its header.

    Raises:
        ValueError: the docstring lacks a field.
    """
    code = path.read_text()
    mechanism, fields = header_of(leading_docstring(code))
    missing = [key for key in ("family", "task") if key not in fields]
    if missing:
        raise ValueError(f"{path.name}: the docstring has no line '{missing[0]}: …'; see tests/corpus.py")
    stages = tuple(stage.strip() for stage in fields.get("stage", "").split(",") if stage.strip())
    return Candidate(path, code, mechanism, fields["family"], fields["task"], stages, fields.get("naive", ""))


def leading_docstring(code: str) -> str:
    """The text between the first pair of triple quotes: some exploits are no valid Python on purpose."""
    _, opening, rest = code.partition('"""')
    docstring, closing, _ = rest.partition('"""')
    if not opening or not closing:
        raise ValueError("the file does not start with a docstring in triple quotes")
    return docstring


def candidates(folder: Path) -> list[Candidate]:
    """All candidates of a corpus, by name."""
    return [read_candidate(path) for path in sorted(folder.glob("*.py"))]


def job(candidate: Candidate, limits: Limits) -> Job:
    """The sandbox's question for one candidate of a corpus."""
    task = task_file.read(TASKS / f"{candidate.task}.py")
    return Job(
        reference=task.reference,
        candidate=candidate.code,
        entry_point=task.entry_point,
        cases=task.cases,
        tolerance=TOLERANCES[task.tolerance],
        limits=limits,
    )
