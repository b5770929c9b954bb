"""`docs/suite.md`, made from the task files of the reference suite, and the list for the terminal."""

import ast
from pathlib import Path

from rich.console import Console
from rich.table import Table

from configs.stamp import write_text
from sandbox import references
from sandbox.references import SuiteTask
from sandbox.types import OWN_BASELINES

PAGE = Path(__file__).parents[2] / "docs" / "suite.md"
HEAD = """# The reference suite

Made from `sandbox/references/` by `python -m sandbox suite --write-docs`; do not edit. Each operator has a definition
in PyTorch, secret inputs in several distributions, and an expert Triton kernel that the sandbox accepts like any
candidate. Small cases, some of them hidden from prompts, run under Triton's interpreter; those listed here are the
sizes that papers report on, timed by `python -m sandbox suite` where there is a GPU. Tolerances: `TOLERANCES` in
`sandbox/types.py`.
"""


def show(write: bool) -> int:
    """Print the list, or write the page."""
    if write:
        write_text(PAGE, page())
        return 0
    table = Table(title="Reference suite", title_justify="left")
    for column in ("operator", "family", "tolerance", "small cases", "large cases", "claims"):
        table.add_column(column, no_wrap=column == "operator")
    for name in references.names():
        small, large = (references.load(name, tier) for tier in ("cpu", "gpu"))
        cases = ", ".join(case.name for case in large.cases)
        claims = "; ".join(claim.claim for claim in large.headlines)
        table.add_row(name, large.family, large.tolerance, str(len(small.cases)), cases, claims)
    Console().print(table)
    return 0


def page() -> str:
    """The text of `docs/suite.md`."""
    names = references.names()
    lines = [HEAD, "| operator | family | what it computes |", "|---|---|---|"]
    tasks = [references.load(name, "gpu") for name in names]
    for task in tasks:
        what = _first_line(task).replace("|", "\\|")
        lines.append(f"| [{task.name}](#{task.name}) | {task.family} | {what} |")
    for task in tasks:
        lines += ["", *_section(task)]
    return "\n".join(lines) + "\n"


def _first_line(task: SuiteTask) -> str:
    return (ast.get_docstring(ast.parse(task.reference)) or "").split("\n\n")[0].replace("\n", " ")


def _section(task: SuiteTask) -> list[str]:
    small = references.load(task.name, "cpu")
    hidden = sum(case.hidden for case in small.cases)
    calls = sum(name in OWN_BASELINES for name in task.baselines)
    notes = (ast.get_docstring(ast.parse(task.expert)) or "").splitlines()
    lines = [
        f"## {task.name}", "", task.description, "",
        f"Tolerance {task.tolerance}; {len(small.cases)} small cases, {hidden} of them hidden"
        + ("", "; timed beside a library call too", "; timed beside two library calls too")[calls] + ".", "",
        "| case | arguments |", "|---|---|",
        *(f"| {c.name} | {', '.join(f'{key}={value}' for key, value in c.args.items())} |" for c in task.cases),
    ]  # fmt: skip
    if task.headlines:
        lines += ["", "Claims measured: " + "; ".join(f"{h.claim} (case {h.case})" for h in task.headlines) + "."]
    return [*lines, "", "The expert: " + notes[0], *notes[1:]] if notes else lines
