"""What `sandbox.bench.suite` found, as tables: for the terminal, and beside the JSON file for readers."""

import tomllib
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from sandbox.types import COMPILED_BASELINES, Baseline

UNREACHED = Path(__file__).with_name("unreached.toml")
COLUMNS = ("operator", "case", "ours", *get_args(Baseline), "ratio", "roofline", "of copy", "MiB", "eager MiB")

ENOUGH_OF_COPY = 0.8
LONG_MS = 0.050
"""Shorter kernels are over before they can reach a copy's rate."""
SLOWER_THAN_COPY = "80 % of a copy"
"""Such a row's reason has this name in `unreached.toml`."""

HEAD = """# The reference suite, timed

Made by `python -m sandbox suite` on {gpu} with torch {torch} and Triton {triton}; do not edit. Medians in ms.
`ratio` is the best of eager and compiled over ours, `roofline` the share of what the hardware allows by its nominal
rates, `of copy` the share of the rate of a plain copy, where bytes limit; MiB are the most in use beyond the inputs.
All of a row was measured side by side in one run, at the commit that the JSON file names. `*`: `torch.compile` left
part of the operator to Python, and could be faster without that; `fails`: it ends in an error.
"""

Rows = list[dict[str, Any]]


def show(rows: Rows, claims: Rows) -> None:
    """Print both tables."""
    table = Table(title="Reference suite: ms, and peak MiB beyond the inputs", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=column == "operator")
    for row in rows:
        table.add_row(*_cells(row))
    console = Console()
    console.print(table)
    for claim in claims:
        mark = "[green]met[/green]" if claim["met"] else "[red]not met[/red]"
        text = f"{mark} {claim['operator']} {claim['case']}: {claim['claim']} → {_measured(claim)}"
        console.print(text, highlight=False)


def markdown(rows: Rows, claims: Rows, stamp: dict[str, str]) -> str:
    """Every row and every claim; where a claim is not reached, why, and what would be needed."""
    why = tomllib.loads(UNREACHED.read_text())
    lines = [
        HEAD.format(**stamp), *_lines(COLUMNS, map(_cells, rows)), "", "## Claims of the papers", "",
        *_lines(("operator", "case", "claim", "over", "asked", "measured"), map(_claim, claims)),
        "", "## Not reached, and why",
    ]  # fmt: skip
    for row in behind_copy(rows):
        if reason := why.get(row["operator"], {}).get(SLOWER_THAN_COPY):
            lines += [
                "",
                f"**{row['operator']}, {SLOWER_THAN_COPY}** ({row['case']}: {row['copy_share']:.0%}). {reason}",
            ]
    for claim in claims:
        if not claim["met"] and (reason := why.get(claim["operator"], {}).get(claim["claim"])):
            lines += ["", f"**{claim['operator']}, {claim['claim']}** ({_measured(claim)}). {reason}"]
    return "\n".join(lines) + "\n"


def behind_copy(rows: Rows) -> Rows:
    """Of each operator whose largest case that bytes limit is slower than it may be, the row of that case."""
    largest: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.get("copy_share") and row["ours_ms"] >= LONG_MS:
            known = largest.setdefault(row["operator"], row)
            largest[row["operator"]] = max(known, row, key=lambda one: one["ours_ms"])
    return [row for row in largest.values() if row["copy_share"] < ENOUGH_OF_COPY]


def _lines(columns: tuple[str, ...], rows: Any) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def _cells(row: dict[str, Any]) -> list[str]:
    if "ours_ms" not in row:
        return [row["operator"], row["case"], f"{row['verdict']} {row['reason'][:80]}", *[""] * (len(COLUMNS) - 3)]
    times = [_time(row, name) for name in get_args(Baseline)]
    shares = [f"{row[key]:.0%}" if row[key] is not None else "" for key in ("roofline_share", "copy_share")]
    eager = row["baselines_peak_mib"].get("eager")
    return [
        row["operator"], row["case"], f"{row['ours_ms']:.4g}", *times,
        f"{row['ratio']:.2f}" if row["ratio"] else "", *shares, f"{row['peak_mib']:.0f}",
        f"{eager:.0f}" if eager is not None else "",
    ]  # fmt: skip


def _time(row: dict[str, Any], name: str) -> str:
    if "not_compiled" in row and name in COMPILED_BASELINES:
        return "fails"
    ms = row["baselines_ms"].get(name)
    mark = "*" if row.get("graph_breaks") and name in COMPILED_BASELINES else ""
    return f"{ms:.4g}{mark}" if ms else ""


def _claim(claim: dict[str, Any]) -> list[str]:
    asked = f"{claim['ratio']:g}" + (" less memory" if claim["measure"] == "memory" else "")
    return [claim["operator"], claim["case"], claim["claim"], claim["against"], asked, _measured(claim)]


def _measured(claim: dict[str, Any]) -> str:
    return "not measured" if claim["measured"] is None else f"{claim['measured']:.2f}"
