"""The reference suite: operators from papers, each with cases, a PyTorch reference and an expert Triton kernel.

`<name>.py` is a task file: literal constants (`FAMILY`, `TOLERANCE`, `DESCRIPTION`, `CASES`), `make_inputs(case, draw)`
and the reference function `<name>`. `experts/<name>.py` is a candidate that the sandbox accepts on it. This loader
reads both as text and imports neither, so it needs no torch. The constants are cut out of the reference that it
returns: a prompt may quote that text, and must not show hidden cases.
"""

import ast
from pathlib import Path
from typing import Any, Literal

from sandbox.types import TOLERANCES, Case, Record

Tier = Literal["cpu", "gpu"]
CONSTANTS = ("FAMILY", "TOLERANCE", "DESCRIPTION", "CASES")
FOLDER = Path(__file__).parent


class SuiteTask(Record):
    """One operator of the suite with the cases of one tier."""

    name: str
    family: str
    """Operator family of the reference suite."""
    description: str
    """What the operator computes, in one to three sentences, for prompts."""
    reference: str
    """Python source of `<entry_point>(*inputs)` and `make_inputs(case, draw)`, without the task's constants."""
    entry_point: str
    tolerance: str
    """Code into `sandbox.types.TOLERANCES`."""
    cases: tuple[Case, ...]
    """`cpu`: small enough for Triton's interpreter, hidden ones included; `gpu`: the sizes that papers report on."""
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
    path = FOLDER / f"{name}.py"
    source = path.read_text()
    tree = ast.parse(source, filename=str(path))
    values = _constants(tree, path)
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if missing := {name, "make_inputs"} - functions:
        raise ValueError(f"{path.name} defines no function {' and no '.join(sorted(missing))}; add it")
    if values["TOLERANCE"] not in TOLERANCES:
        raise ValueError(f"{path.name}: TOLERANCE={values['TOLERANCE']!r} is not one of {', '.join(TOLERANCES)}")
    return SuiteTask(
        name=name,
        family=values["FAMILY"],
        description=values["DESCRIPTION"],
        reference=_without_constants(source, tree),
        entry_point=name,
        tolerance=values["TOLERANCE"],
        cases=_cases(values["CASES"], tier, path),
        expert=(FOLDER / "experts" / f"{name}.py").read_text(),
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
    if missing := [name for name in CONSTANTS if name not in found]:
        raise ValueError(f"{path.name} misses {', '.join(missing)}; assign it a literal at top level")
    return found


def _without_constants(source: str, tree: ast.Module) -> str:
    cut: set[int] = set()
    for node in tree.body:
        if _assigned(node) is not None:
            cut.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return "".join(line for number, line in enumerate(source.splitlines(keepends=True), 1) if number not in cut)


def _cases(rows: tuple[dict[str, Any], ...], tier: Tier, path: Path) -> tuple[Case, ...]:
    if unknown := {row.get("tier") for row in rows} - {"cpu", "gpu"}:
        raise ValueError(f"{path.name}: unknown tier {unknown}; every case needs tier 'cpu' or 'gpu'")
    chosen = [{key: value for key, value in row.items() if key != "tier"} for row in rows if row["tier"] == tier]
    if not chosen:
        raise ValueError(f"{path.name} has no case of tier {tier!r}")
    return tuple(Case.model_validate(row) for row in chosen)
