"""Reads the corpora: candidates with their headers, and `Job`s made of them and the tasks beside them.

A candidate's docstring starts with one sentence on the mechanism and then `key: value` lines (see `Candidate`).
Nothing here executes a candidate or a task file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from configs.errors import UsageError
from sandbox import task_file
from sandbox.types import Job, Limits, Policy, TimingRequest

HERE = Path(__file__).parents[2] / "tests"
EXPLOITS = HERE / "exploits"
HONEST = HERE / "honest"
TASKS = HERE / "tasks"
NAIVE = ("pass", "fail", "hangs", "crashes", "harms")
"""What `tests/naive_harness.py` may do with an exploit."""
KEYS = ("family", "task", "stage", "naive", "tier", "policy")
DEFAULT_TIMING = TimingRequest()


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
    """What `tests/naive_harness.py` does with an exploit: `pass`, `fail`, `hangs`, `crashes` or `harms`."""
    tier: task_file.Tier = "cpu"
    """`gpu`: means nothing without a GPU, so it is skipped there. `cpu`: runs everywhere, on a GPU too."""
    policy: Policy = "triton_only"


def header_of(docstring: str) -> tuple[str, dict[str, str]]:
    """The first sentence and the `key: value` lines before the first free text after them."""
    lines = [line.strip() for line in docstring.strip().splitlines()]
    fields: dict[str, str] = {}
    for line in lines[1:]:
        key, colon, value = line.partition(":")
        if colon and key in KEYS:
            fields[key] = value.strip()
    return lines[0], fields


def read_candidate(path: Path) -> Candidate:
    """A candidate file with its header.

    Raises:
        ValueError: the docstring lacks a field, or a field has a value that does not exist.
    """
    code = path.read_text()
    mechanism, fields = header_of(leading_docstring(code))
    missing = [key for key in ("family", "task") if key not in fields]
    if missing:
        raise ValueError(f"{path.name}: the docstring has no line '{missing[0]}: …'; see sandbox/bench/corpus.py")
    stages = tuple(stage.strip() for stage in fields.get("stage", "").split(",") if stage.strip())
    tiers = {tier: tier for tier in get_args(task_file.Tier)}
    policies = {policy: policy for policy in get_args(Policy)}
    tier, policy = fields.get("tier", "cpu"), fields.get("policy", "triton_only")
    for name, value, known in (("tier", tier, tiers), ("policy", policy, policies)):
        if value not in known:
            raise ValueError(f"{path.name}: {name}: {value!r} does not exist; it is one of {', '.join(known)}")
    return Candidate(
        path, code, mechanism, fields["family"], fields["task"], stages, fields.get("naive", ""), tiers[tier],
        policies[policy],
    )  # fmt: skip


def leading_docstring(code: str) -> str:
    """The text between the first pair of triple quotes: some exploits are no valid Python on purpose."""
    _, opening, rest = code.partition('"""')
    docstring, closing, _ = rest.partition('"""')
    if not opening or not closing:
        raise ValueError("the file does not start with a docstring in triple quotes")
    return docstring


def candidates(folder: Path, tier: task_file.Tier = "cpu") -> list[Candidate]:
    """All candidates of a corpus that mean something on `tier`, by name: a GPU runs all of them."""
    found = [read_candidate(path) for path in sorted(folder.glob("*.py"))]
    if not found:
        raise UsageError(f"{folder} holds no candidates (*.py)")
    return [candidate for candidate in found if tier == "gpu" or candidate.tier == "cpu"]


def job(
    candidate: Candidate, limits: Limits, tier: task_file.Tier = "cpu", tasks: Path = TASKS,
    timing: TimingRequest | None = DEFAULT_TIMING,
) -> Job:  # fmt: skip
    """The sandbox's question for one candidate of a corpus, on the cases of `tier`.

    Raises:
        ValueError: the task file is wrong or has no case of `tier`.
    """
    task = task_file.read(tasks / f"{candidate.task}.py", tier)
    if candidate.tier == "gpu":  # means nothing under the interpreter
        task = task.model_copy(update={"rehearsal": ()})
    return task.job(candidate.code, policy=candidate.policy, timing=timing, limits=limits)
