"""Task files as data: Python source whose literal constants are read from the syntax tree and never executed here.

A task file holds `CASES` (rows of name, args, and optionally distribution, hidden, timed, tier), `TOLERANCE` (a code
into `TOLERANCES`), optionally `FAMILY`, `DESCRIPTION`, `MUTATES` and `HEADLINES`, and either `make_inputs(case, draw)`
with a reference function named like the file, or KernelBench's `Model`, `get_inputs` and `get_init_inputs`, which needs
no constants. Further functions that it may define: `cost(case)`, `eager(*inputs)` and `library(*inputs)`, see
`sandbox.judging.baselines`. A reference may launch Triton kernels itself (`sandbox.triton_private.reference`), and says
`OWN_PRECISION = True` if they cannot be run in float64.
"""

import ast
from pathlib import Path
from typing import Any, Literal

from sandbox.types import OWN_BASELINES, TOLERANCES, Baseline, Case, Job, Record

Tier = Literal["cpu", "gpu"]
CONSTANTS = ("FAMILY", "TOLERANCE", "DESCRIPTION", "CASES", "MUTATES", "HEADLINES")
MODEL_CASES = (
    Case(name="default"),
    Case(name="tails", distribution="heavy_tailed", hidden=True),
    Case(name="outliers", distribution="structured", hidden=True),
)
"""For KernelBench files, which name no cases: their own inputs, and others of the same shapes, signed, heavy-tailed or
with outliers whose exponentials overflow.
"""


class Headline(Record):
    """A paper's claim that can be measured: theirs / ours on one case."""

    claim: str
    case: str
    against: Baseline
    measure: Literal["time", "memory"] = "time"
    ratio: float


class TaskFile(Record):
    """One task with the cases of one tier."""

    name: str
    family: str
    description: str
    """What the operator computes, in one to three sentences, for prompts."""
    reference: str
    """The source without the constants: a prompt may quote it, and must not show hidden cases."""
    entry_point: str
    tolerance: str
    """Code into `TOLERANCES`."""
    headlines: tuple[Headline, ...] = ()
    baselines: tuple[Baseline, ...] = ("eager", "compile", "max-autotune")
    """What there is to compare with; `library` where the task defines it."""
    mutates: tuple[int, ...] = ()
    """Positions of tensor inputs that the operator changes in place (and returns)."""
    cases: tuple[Case, ...]
    """`cpu`: small enough for Triton's interpreter; `gpu`: the sizes that papers report on."""
    rehearsal: tuple[Case, ...] = ()
    """With the cases for a GPU: a small public one that the interpreter runs first."""

    def job(self, candidate: str, **changes: Any) -> Job:
        """The sandbox's question about `candidate`; `changes` are further fields of `Job`."""
        return Job(
            reference=self.reference, candidate=candidate, entry_point=self.entry_point, cases=self.cases,
            rehearsal=self.rehearsal, tolerance=TOLERANCES[self.tolerance], mutates=self.mutates, **changes,
        )  # fmt: skip


def read(path: Path, tier: Tier = "cpu") -> TaskFile:
    """Read one task file with the cases of `tier`.

    Raises:
        ValueError: no valid Python, or a constant or function is missing or wrong; the message names it.
    """
    source = path.read_text()
    try:
        tree = ast.parse(source, filename=str(path))
    except SyntaxError as error:
        raise ValueError(f"{path} is no valid Python: line {error.lineno}: {error.msg}") from error
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    values = _constants(tree, path)
    is_model = "Model" in defined and path.stem not in defined
    if not is_model and (missing := {path.stem, "make_inputs"} - defined):
        raise ValueError(f"{path.name} defines no {' and no '.join(sorted(missing))}; add it, or a KernelBench `Model`")
    tolerance = values.get("TOLERANCE", "T32")
    if tolerance not in TOLERANCES:
        raise ValueError(f"{path.name}: TOLERANCE={tolerance!r} is not one of {', '.join(TOLERANCES)}")
    if not is_model and "CASES" not in values:
        raise ValueError(f"{path.name} misses CASES; assign it a literal at top level")
    return TaskFile(
        name=path.stem,
        family=values.get("FAMILY", "other"),
        description=values.get("DESCRIPTION", (ast.get_docstring(tree) or "").split("\n\n")[0]),
        reference=_without_constants(source, tree),
        entry_point="ModelNew" if is_model else path.stem,
        tolerance=tolerance,
        headlines=tuple(Headline.model_validate(row) for row in values.get("HEADLINES", ())),
        baselines=("eager", "compile", "max-autotune", *(name for name in OWN_BASELINES if name in defined)),
        mutates=tuple(values.get("MUTATES", ())),
        cases=_cases(values["CASES"], tier, path) if "CASES" in values else MODEL_CASES,
        rehearsal=_rehearsal(values["CASES"], path) if "CASES" in values and tier == "gpu" else (),
    )


def _assigned(node: ast.stmt) -> str | None:
    """The constant that a top-level statement assigns, if it is one of ours."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        target = node.targets[0].id
        return target if target in CONSTANTS else None
    return None


def _constants(tree: ast.Module, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in tree.body:
        target = _assigned(node)
        if target is not None and isinstance(node, ast.Assign):
            try:
                found[target] = ast.literal_eval(node.value)
            except ValueError as error:
                raise ValueError(f"{path.name}: {target} must be a literal ({error})") from error
    return found


def _without_constants(source: str, tree: ast.Module) -> str:
    cut: set[int] = set()
    for node in tree.body:
        if _assigned(node) is not None:
            cut.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return "".join(line for number, line in enumerate(source.splitlines(keepends=True), 1) if number not in cut)


def _rehearsal(rows: tuple[dict[str, Any], ...], path: Path) -> tuple[Case, ...]:
    """The first two public cases for a CPU: in one, the whole grid may be a single program, which races with nobody."""
    small = [row for row in rows if row.get("tier", "cpu") == "cpu" and not row.get("hidden", False)]
    return _cases(tuple(small[:2]), "cpu", path) if small else ()


def _cases(rows: tuple[dict[str, Any], ...], tier: Tier, path: Path) -> tuple[Case, ...]:
    if unknown := {row.get("tier", "cpu") for row in rows} - {"cpu", "gpu"}:
        raise ValueError(f"{path.name}: unknown tier {unknown}; a case has tier 'cpu' or 'gpu'")
    chosen = [
        {key: value for key, value in row.items() if key != "tier"} for row in rows if row.get("tier", "cpu") == tier
    ]
    if not chosen:
        raise ValueError(f"{path.name} has no case of tier {tier!r}")
    return tuple(Case.model_validate(row) for row in chosen)
