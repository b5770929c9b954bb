"""`python -m rewards out=DIR`: re-derive every reward of a run from its verdicts. Exit code 1 on a difference."""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from configs.errors import explained
from rewards.audit import audit


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not arguments[0].startswith("out="):
        print("usage: python -m rewards out=DIR   (DIR is the `out` of a run, as in outputs/quickstart)")
        return 2
    folder = Path(arguments[0].removeprefix("out=")) / "rl"
    result = audit(folder)
    table = Table(title=f"Rewards re-derived from verdicts in {folder}")
    for column in ("rollouts", "equal", "different", "unscorable"):
        table.add_column(column, justify="right")
    table.add_row(*(f"{count}" for count in (result.rollouts, result.equal, result.different, result.unscorable)))
    Console().print(table)
    return 1 if result.different else 0


if __name__ == "__main__":
    with explained():
        sys.exit(main(sys.argv[1:]))
