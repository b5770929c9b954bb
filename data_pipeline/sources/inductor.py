"""What `data_pipeline.capture` wrote → tasks with a plain Triton solution each, or without one and a reason why.

A solution must be right on all cases of its task, so a task keeps only the cases that the compiled code serves without
being compiled anew (the guards of the compiler say so at capture): with dynamic shapes usually all of them.
"""

import ast
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from configs.errors import UsageError
from data_pipeline.inductor.rewrite import NotCleanError
from data_pipeline.inductor.wrapper import clean
from data_pipeline.task import Provenance, Task
from sandbox.types import Case, Record


class Captured(Record):
    """One reference, compiled."""

    task: Task
    case: str
    """Whose inputs it was compiled for."""
    covered: tuple[str, ...]
    """Cases that the same code serves."""
    inputs: tuple[str, ...]
    """For each argument of the generated code, how the compiler names its source."""
    returns: Literal["tensor", "tuple", "list"]
    code: str
    """The generated module; empty: `error` says why."""
    error: str
    stamp: dict[str, str]
    seconds: float | None = None
    """That drawing inputs and compiling took; None in files from before it was kept."""


def inductor(folder: Path) -> Iterator[tuple[Task, str]]:
    """Every captured reference, by file name; with "" for a solution where its code cannot be cleaned.

    Raises:
        UsageError: the folder holds nothing captured.
    """
    for task, solution, _ in _cleaned(folder):
        yield task, solution


def reasons(folder: Path) -> Counter[str]:
    """How many became pairs (`clean`), and what the others lack."""
    return Counter(reason.split(":")[0] or "clean" for _, _, reason in _cleaned(folder))


def account(folder: Path) -> dict[str, Any]:
    """How many references a folder holds, how many of them the compiler took, in how many seconds, and on what."""
    found = [Captured.model_validate_json(path.read_text()) for path in sorted(folder.glob("*.json"))]
    times = [one.seconds for one in found if one.seconds is not None]
    stamps = [dict(stamp) for stamp in sorted({tuple(sorted(one.stamp.items())) for one in found})]
    return {
        "references": len(found),
        "compiled": sum(not one.error for one in found),
        "seconds": round(sum(times), 1) if len(times) == len(found) else None,
        "stamps": stamps,
    }


def candidate(captured: Captured) -> tuple[Task, str]:
    """The task with the cases that the code serves, and the code as a plain file.

    Raises:
        NotCleanError: it needs more than its own kernels, or is not understood.
    """
    if captured.error:
        raise NotCleanError(f"not compiled: {captured.error}")
    task = captured.task
    public = tuple(case for case in task.cases if case.name in captured.covered)
    hidden = tuple(case for case in task.hidden_cases if case.name in captured.covered)
    if not public or not hidden:
        raise NotCleanError(f"specialised: serves only {', '.join(captured.covered)}")
    is_model = task.entry_point == "ModelNew"
    name = "forward" if is_model else task.entry_point
    parameters = _parameters(task.reference, name)
    code = clean(captured.code, name, parameters, captured.inputs, captured.returns)
    return _named(captured, public, hidden), _as_model(task.reference, code) if is_model else code


def _cleaned(folder: Path) -> Iterator[tuple[Task, str, str]]:
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UsageError(f"{folder} holds nothing captured; run python -m data_pipeline.capture {folder} on a GPU host")
    for path in files:
        captured = Captured.model_validate_json(path.read_text())
        try:
            yield *candidate(captured), ""
        except NotCleanError as error:
            yield _named(captured, captured.task.cases, captured.task.hidden_cases), "", str(error)


def _named(captured: Captured, public: tuple[Case, ...], hidden: tuple[Case, ...]) -> Task:
    task = captured.task
    content = [task.reference, task.tolerance, [case.model_dump(mode="json") for case in public + hidden]]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return task.model_copy(
        update={
            "id": f"ind-{task.family}-{digest}",
            "source": Provenance(
                origin="inductor", version=f"torch {captured.stamp['torch']}", path=task.id, licence=task.source.licence
            ),
            "cases": public,
            "hidden_cases": hidden,
        }
    )


def _parameters(reference: str, name: str) -> list[str]:
    """Of the last function of that name; a `forward` is the method of `Model`.

    Raises:
        NotCleanError: there is none, or it takes more than plain parameters.
    """
    tree = ast.parse(reference)
    models = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Model"]
    body = [n for model in models for n in model.body] if name == "forward" else tree.body
    found = [n for n in body if isinstance(n, ast.FunctionDef) and n.name == name]
    if not found or found[-1].args.vararg or found[-1].args.kwarg or found[-1].args.kwonlyargs:
        raise NotCleanError(f"parameters: of {name} are not plain")
    return [a.arg for a in found[-1].args.posonlyargs + found[-1].args.args]


def _as_model(reference: str, code: str) -> str:
    """The candidate's `forward` in a copy of the reference's class, so that the weights have the same names."""
    mine = ast.parse(code)
    forward = mine.body.pop()
    kept: list[ast.stmt] = []
    for node in ast.parse(reference).body:
        if isinstance(node, ast.ClassDef) and node.name == "Model":
            node.name = "ModelNew"
            node.body = [forward if isinstance(n, ast.FunctionDef) and n.name == "forward" else n for n in node.body]
            node.body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
            for call in (n for n in ast.walk(node) if isinstance(n, ast.Call) and ast.unparse(n.func) == "super"):
                call.args = []
            kept.append(node)
        elif not isinstance(node, ast.Expr) and getattr(node, "name", "") not in ("get_inputs", "get_init_inputs"):
            kept.append(node)
    rest = [n for n in [*mine.body, *kept] if not isinstance(n, ast.Import | ast.ImportFrom)]
    used = {n.id for node in rest for n in ast.walk(node) if isinstance(n, ast.Name)}
    lines: dict[str, None] = {}
    for node in [*mine.body, *kept]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [n for n in node.names if (n.asname or n.name.split(".")[0]) in used]
            lines |= {ast.unparse(node): None} if node.names else {}
    return "\n".join(lines) + "\n\n\n" + "\n\n\n".join(ast.unparse(n) for n in rest) + "\n"
