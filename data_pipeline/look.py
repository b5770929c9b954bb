"""`python -m data_pipeline stats|show|export|report`: look at what a data stage made, without running anything."""

import argparse
import json
import shutil
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from configs.errors import UsageError, folder_for
from data_pipeline.card import by_origin
from data_pipeline.ledger import Ledger
from data_pipeline.report import write_report

FILES = ("tasks.parquet", "kernels.parquet", "README.md", "histograms.png", "summary.json", "settings.json")


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 where there is nothing of the kind."""
    parser = argparse.ArgumentParser(prog="python -m data_pipeline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    stats = commands.add_parser("stats", help="what became of the proposals, by origin")
    show = commands.add_parser("show", help="one record with its verdict or why it was refused")
    show.add_argument("id", help="of a task or a kernel; its beginning is enough")
    export = commands.add_parser("export", help="copy the finished data set with its card")
    export.add_argument("to", type=Path, help="a folder; made if need be")
    report = commands.add_parser("report", help="what was found, admitted and refused, as JSON")
    report.add_argument("to", type=Path, help="the file, for example docs/results/data_report.json")
    for command in (stats, show, export, report):
        command.add_argument("--out", type=Path, default=Path("outputs/default"), help="of the run")
    chosen = parser.parse_args(arguments)
    folder, console = chosen.out / "data", Console()
    if not (folder / "ledger.sqlite").exists():
        console.print(f"[red]{folder} holds no ledger.sqlite; run python -m data_pipeline out={chosen.out} first[/red]")
        return 1
    if chosen.command == "export":
        return _export(folder, chosen.to, console)
    if chosen.command == "report":
        folder_for("report", chosen.to.parent)
        if chosen.to.is_dir():
            raise UsageError(f"report: {chosen.to} is a folder; name the JSON file to write in it")
        console.print(write_report(chosen.out, chosen.to), f"→ {chosen.to}")
        return 0
    ledger = Ledger(folder / "ledger.sqlite")
    try:
        return _stats(ledger, console) if chosen.command == "stats" else _show(ledger, chosen.id, console)
    finally:
        ledger.close()


def _stats(ledger: Ledger, console: Console) -> int:
    table = Table(title="What became of the proposals", title_justify="left")
    for column in ("kind", "origin", "state", "refused by", "records"):
        table.add_column(column)
    for key, count in by_origin(ledger).items():
        table.add_row(*key, str(count))
    console.print(table)
    return 0


def _show(ledger: Ledger, identity: str, console: Console) -> int:
    row = ledger.find(identity)
    if row is None:
        console.print(f"[red]no record begins with {identity!r}; see python -m data_pipeline stats[/red]")
        return 1
    record = json.loads(row.record)
    console.print(f"[bold]{row.id}[/bold] {row.kind} of {row.origin} ({row.licence}): {row.state}", highlight=False)
    if row.refused_by:
        console.print(f"refused by {row.refused_by}: {row.reason}", highlight=False, markup=False)
    if row.kind == "task":
        console.print(record["description"], highlight=False, markup=False)
        console.print(Syntax(record["reference"], "python"))
    if row.code:
        console.print(Syntax(row.code, "python"))
    return 0


def _export(folder: Path, to: Path, console: Console) -> int:
    if not (folder / "summary.json").exists():
        console.print(
            f"[red]{folder} is not finished; run python -m data_pipeline again, it goes on where it was[/red]"
        )
        return 1
    folder_for("export", to)
    for name in FILES:
        shutil.copyfile(folder / name, to / name)
    console.print(f"{', '.join(FILES)} → {to}", highlight=False)
    return 0
