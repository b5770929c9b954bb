"""Pictures of the results, made from their JSON files and written beside them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

STAGES = ("screen", "trace", "plan", "compile", "launch", "numerics", "timeout", "tamper", "broken", "passed")


def fidelity(path: Path) -> Path:
    """Every trial's interval of the ratio, kernel by kernel, around the true 1."""
    result = json.loads(path.read_text())
    rows: list[dict[str, Any]] = result["rows"]
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes: Axes = figure.subplots()
    start = 0
    for number, row in enumerate(rows):
        x = range(start, start + len(row["intervals"]))
        low, middle, high = zip(*row["intervals"], strict=True)
        below = [max(0.0, m - end) for m, end in zip(middle, low, strict=True)]
        above = [max(0.0, end - m) for m, end in zip(middle, high, strict=True)]
        label = f"{row['kernel']} ({1000 * row['candidate_ms']:.0f} µs)"
        axes.errorbar(x, middle, yerr=[below, above], fmt="o", ms=3, lw=1, color=f"C{number}", label=label)
        start += len(row["intervals"]) + 2
    axes.axhline(1.0, color="black", lw=0.8)
    axes.set(ylabel="baseline / candidate", xlabel="trial", title=_title("95 % intervals where the ratio is 1", result))
    axes.legend(ncols=len(rows), fontsize="small", loc="upper center")
    return _save(figure, path)


def security(path: Path) -> Path:
    """How many exploits of each family each stage stopped."""
    result = json.loads(path.read_text())
    exploits = [row for row in result["rows"] if row["kind"] == "exploit"]
    families = sorted({row["family"] for row in exploits})
    counts = Counter((row["family"], row["stopped_by"]) for row in exploits)
    stages = [stage for stage in STAGES if any(counts[family, stage] for family in families) or stage == "passed"]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes: Axes = figure.subplots()
    grid = [[counts[family, stage] for stage in stages] for family in families]
    axes.imshow(grid, cmap="Blues", aspect="auto")
    for y, line in enumerate(grid):
        for x, value in enumerate(line):
            dark = value > max(map(max, grid)) / 2
            axes.text(x, y, str(value), ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(stages)), ["accepted" if stage == "passed" else stage for stage in stages])
    axes.set_yticks(range(len(families)), families)
    axes.set(xlabel="stopped by", ylabel="family", title=_title("Exploits", result))
    return _save(figure, path)


def suite(path: Path) -> Path:
    """How many times as fast as the best of eager and compiled PyTorch each case is, and its share of the roofline."""
    result = json.loads(path.read_text())
    rows = [row for row in result["rows"] if row.get("ratio")]
    labels = [f"{row['operator']} {row['case']}" for row in rows]
    figure = Figure(figsize=(11, 1.5 + 0.22 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(labels, [row["ratio"] for row in rows], color=["C0" if row["ratio"] >= 1 else "C3" for row in rows])
    left.axvline(1.0, color="black", lw=0.8)
    left.set(xscale="log", xlabel="times as fast as the best of eager and torch.compile")
    right.barh(labels, [row["roofline_share"] for row in rows], color="C2")
    right.set(xlim=(0, 1), xlabel="share of roofline")
    left.invert_yaxis()
    figure.suptitle(_title("Reference suite", result))
    return _save(figure, path)


def _title(text: str, result: dict[str, Any]) -> str:
    mark = result["stamp"]
    return f"{text} ({mark['gpu'] if mark['gpu'] != 'none' else mark['cpu']})"


def _save(figure: Figure, path: Path) -> Path:
    picture = path.with_suffix(".png")
    temporary = path.with_name(f".{picture.name}")
    figure.savefig(temporary, format="png")
    temporary.replace(picture)
    return picture
