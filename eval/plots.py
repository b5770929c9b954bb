"""Charts of the report as inline SVG whose colours are the page's CSS variables, so that they follow light and dark.

matplotlib knows no CSS variables: each variable gets a colour that stands for it while drawing, and the SVG text is
rewritten afterwards. Text stays text (readable by people and screen readers), in the page's own font.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import get_args

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from eval.gather import Point
from eval.metrics import Interval
from sandbox.types import Stage

STAGES: tuple[str, ...] = get_args(Stage)
"""Stages of the sandbox, in the order in which a candidate meets them."""
PARTS = (*STAGES, "passed")
"""What the verdicts of a set of completions divide into; Broken ones are in none."""

RUNS = tuple(f"run-{number}" for number in range(6))
"""Colour variables of compared runs."""
_VARIABLES = ("ink", "muted", "line", "accent", "base", "sft", "rl", *RUNS, *(f"stage-{part}" for part in PARTS))
_STAND_IN = {name: f"#{0xA10000 + number:06x}" for number, name in enumerate(_VARIABLES)}
WIDTH_INCHES = 4.7
"""One column of the page: 338 user units, so text has about its nominal size on a phone."""
FEW_POINTS = 15


def curve(
    name: str, title: str, points: Sequence[Point], y_label: str, variable: str, spread: Sequence[Point] = ()
) -> Markup:
    """A training curve over steps; `spread` is a standard deviation drawn as a band."""
    figure, axes = _axes(2.5)
    steps, values = [p.step for p in points], [p.value for p in points]
    few = len(points) <= FEW_POINTS
    axes.plot(steps, values, color=_STAND_IN[variable], linewidth=1.8, marker="o" if few else None, markersize=4)
    by_step = {p.step: p.value for p in spread}
    if points and all(step in by_step for step in steps):
        low = [v - by_step[s] for s, v in zip(steps, values, strict=True)]
        high = [v + by_step[s] for s, v in zip(steps, values, strict=True)]
        axes.fill_between(steps, low, high, color=_STAND_IN[variable], alpha=0.15, linewidth=0)
    axes.set_xlabel("step")
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.grid(axis="y", color=_STAND_IN["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    return _svg(figure, name, title)


def forest(name: str, title: str, rows: Sequence[tuple[str, str, Interval]]) -> Markup:
    """Means with intervals, one row each: (label, colour variable, interval), shares of 1. A blank row parts the k."""
    gaps = [sum(rows[i][0].split()[0] != rows[i - 1][0].split()[0] for i in range(1, n + 1)) for n in range(len(rows))]
    places = [n + 0.6 * gap for n, gap in enumerate(gaps)]
    figure, axes = _axes(0.45 + 0.34 * (places[-1] + 1))
    for position, (_, variable, found) in zip(places, rows, strict=True):
        colour = _STAND_IN[variable]
        if found.method != "none":
            axes.plot(
                [found.low, found.high], [position] * 2, color=colour, linewidth=2.5, solid_capstyle="round", alpha=0.55
            )
        axes.plot([found.value], [position], "o", color=colour, markersize=7, clip_on=False)
    axes.set_yticks(places, [label for label, _, _ in rows])
    axes.set_ylim(places[-1] + 0.5, -0.5)
    axes.tick_params(axis="y", length=0, pad=10)
    axes.spines["left"].set_visible(False)
    _percent_axis(axes)
    axes.grid(axis="x", color=_STAND_IN["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    return _svg(figure, name, title)


def shares(name: str, title: str, rows: Sequence[tuple[str, str, Mapping[float, Interval]]], x_label: str) -> Markup:
    """Shares with intervals over a number: (label, colour variable, interval by x)."""
    figure, axes = _axes(2.6)
    for label, variable, found in rows:
        colour, xs = _STAND_IN[variable], list(found)
        axes.plot(xs, [found[x].value for x in xs], color=colour, linewidth=1.8, marker="o", markersize=4, label=label)
        low, high = [found[x].low for x in xs], [found[x].high for x in xs]
        axes.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel(x_label)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y", color=_STAND_IN["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    return _svg(figure, name, title)


def histogram(name: str, title: str, rows: Sequence[tuple[str, str, Sequence[float]]], x_label: str) -> Markup:
    """Numbers of problems by ratio, on a logarithmic axis: (label, colour variable, ratios). The ends hold the rest."""
    figure, axes = _axes(2.6)
    edges = [2 ** (half / 2) for half in range(-6, 7)]
    for label, variable, ratios in rows:
        inside = [min(max(ratio, edges[0]), edges[-1]) for ratio in ratios]
        axes.hist(inside, edges, histtype="step", color=_STAND_IN[variable], linewidth=1.8, label=label)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}×"))
    axes.axvline(1, color=_STAND_IN["muted"], linewidth=0.8)
    axes.set_xlabel(x_label)
    axes.set_ylabel("problems")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.legend(frameon=False)
    return _svg(figure, name, title)


def stacked(name: str, title: str, rows: Sequence[tuple[str, Mapping[str, int]]]) -> Markup:
    """Shares of verdicts, one bar a row: (label, counts by `PARTS`). Rows without verdicts stay empty."""
    figure, axes = _axes(0.45 + 0.42 * len(rows))
    for position, (_, counts) in enumerate(rows):
        total, left = sum(counts.values()), 0.0
        for part in PARTS:
            share = counts.get(part, 0) / total if total else 0.0
            axes.barh(position, share, left=left, height=0.62, color=_STAND_IN[f"stage-{part}"], linewidth=0)
            left += share
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _percent_axis(axes)
    return _svg(figure, name, title)


def _axes(height_inches: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    axes = figure.subplots()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_STAND_IN["line"])
    axes.tick_params(colors=_STAND_IN["muted"], labelsize=10, length=3)
    axes.xaxis.label.set_color(_STAND_IN["muted"])
    axes.yaxis.label.set_color(_STAND_IN["muted"])
    return figure, axes


def _percent_axis(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])


def _svg(figure: Figure, name: str, title: str) -> Markup:
    """The figure as an `<svg>` element: no prolog, no metadata, no style sheet, ids of its own, CSS colours."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]+", "font-family: var(--font)", text)
    text = text.replace(' id="', f' id="{name}-').replace('"#', f'"#{name}-').replace("url(#", f"url(#{name}-")
    text = re.sub(
        r'<svg [^>]*?width="[^"]*" height="[^"]*"', f'<svg role="img" aria-label="{escape(title)}"', text, count=1
    )
    for variable, colour in _STAND_IN.items():
        text = text.replace(colour, f"var(--{variable})")
    return Markup(text)
