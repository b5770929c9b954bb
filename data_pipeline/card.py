"""The data card: what a data set holds, where it came from, what was refused. `<out>/data/README.md` and a picture."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_pipeline.ledger import Ledger
from data_pipeline.store import KERNELS, TASKS, read_rows

PIECES = re.compile(r"[A-Za-z_]+|\d+|[^\w\s]")
"""Words, numbers and signs: a measure of length that needs no tokenizer."""
COLUMNS = {
    "id": "stable, derived from the content", "family": "operator family, by which splits are made",
    "split": "`train` or `heldout`", "origin": "`synthetic`, `package:NAME`, `git:URL`, `hub:NAME`, …",
    "licence": "SPDX expression",
    "difficulty": "number of operators", "dtype": "of the first case", "record": "the whole task or kernel as JSON",
    "solution": "the Triton file that the sandbox passed; null: a reference alone",
    "verdict": "its verdict as JSON, or null",
    "name": "of the kernel's function", "code": "the kernel with its helpers and constants",
}  # fmt: skip


def write_card(folder: Path, ledger: Ledger) -> None:
    """Write `README.md` and `histograms.png` beside the Parquet files, from them and the ledger."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("family", "split", "dtype", "difficulty")}
    lengths: list[int] = []
    alone = 0
    for row in read_rows(folder / "tasks.parquet", [*counts, "solution"]):
        for name, counter in counts.items():
            counter[str(row[name])] += 1
        if row["solution"] is None:
            alone += 1
        else:
            lengths.append(len(PIECES.findall(row["solution"])))
    texts = [len(PIECES.findall(row["code"])) for row in read_rows(folder / "kernels.parquet", ["code"])]
    picture(folder / "histograms.png", counts, lengths, texts)
    lines = [
        "# Data card", "",
        f"{len(lengths)} tasks with solutions that the sandbox passed and {alone} without a solution "
        f"(`tasks.parquet`), {len(texts)} kernels without a reference (`kernels.parquet`). Made by "
        "`python -m data_pipeline`; settings in `settings.json`.", "",
        "![Histograms](histograms.png)", "",
        *_table("What became of the proposals", ("kind", "origin", "state", "refused by"), by_origin(ledger)),
        *_table("Licences", ("licence", "state"), ledger.count("licence", "state")),
    ]  # fmt: skip
    for name, counter in counts.items():
        lines += _table(f"Tasks by {name}", (name,), {(key,): n for key, n in sorted(counter.items())})
    for name, schema in (("tasks.parquet", TASKS), ("kernels.parquet", KERNELS)):
        lines += [f"## Columns of `{name}`", "", "| column | meaning |", "|---|---|"]
        lines += [f"| `{column}` | {COLUMNS[column]} |" for column in schema.names] + [""]
    (folder / "README.md").write_text("\n".join(lines))


def by_origin(ledger: Ledger) -> dict[tuple[str, ...], int]:
    """(kind, origin, state, refused by) → records."""
    return ledger.count("kind", "origin", "state", "refused_by")


def picture(path: Path, counts: dict[str, Counter[str]], lengths: list[int], texts: list[int]) -> None:
    """Lengths of solutions and kernels; tasks by family, dtype and difficulty."""
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    axes: list[Axes] = list(figure.subplots(2, 3).flat)
    for place, values, title in ((axes[0], lengths, "length of solutions"), (axes[1], texts, "length of kernels")):
        place.hist(values, bins=40)
        place.set(title=f"{title} (words and signs)", ylabel="records")
    for place, name in zip(axes[2:], ("family", "dtype", "difficulty", "split"), strict=True):
        items = sorted(counts[name].items())
        place.barh([key for key, _ in items], [n for _, n in items])
        place.set(title=f"tasks by {name}")
    figure.savefig(path, format="png")


def _table(title: str, head: tuple[str, ...], rows: dict[tuple[str, ...], int]) -> Iterable[str]:
    yield from (f"## {title}", "", f"| {' | '.join(head)} | records |", "|---" * (len(head) + 1) + "|")
    for key, count in rows.items():
        yield f"| {' | '.join(key)} | {count} |"
    yield ""
