"""`python -m eval.compare FOLDER [FOLDER …] --out FOLDER`: any number of evaluations side by side.

A folder is one that `python -m eval` has finished, such as `outputs/mine/eval/kernelbench/base`; models, engines and
benchmarks may be mixed. Writes `report.html`, self-contained like a run's report, the same tables as `report.md`, and
what is alike as `compare.json`. The first run of each benchmark is what the others are compared with, sample by sample:
whether completions and verdicts are the same, and whether scores differ by more than sampling noise.
"""

import argparse
from pathlib import Path

from markupsafe import Markup
from rich.console import Console

from configs.errors import UsageError, folder_for
from configs.stamp import stamp, write_json, write_text
from eval import plots
from eval.benchmarks.scores import BEST, speedups
from eval.evaluated import Evaluated, likeness, read_evaluated
from eval.metrics import Interval
from eval.report import fill
from eval.story import percent
from eval.tables import benchmark_tables, markdown, overall_tables

MARKDOWN_ROWS = 60
"""Of a table; the page has all."""


def compare(folders: list[Path], out: Path) -> list[str]:
    """Write reports and `compare.json`; returns the sentences on what is alike. Errors as `read_evaluated`."""
    runs = [read_evaluated(folder, f"R{number}") for number, folder in enumerate(folders, 1)]
    folder_for("--out", out)
    write_text(out / "report.html", render(runs))
    write_text(out / "report.md", render_markdown(runs))
    pairs = [likeness(group[0], run) for group in by_benchmark(runs).values() for run in group[1:]]
    found = {
        "stamp": stamp(),
        "summary": [pair.model_dump(mode="json") for pair in pairs],
        "runs": [
            {
                "name": run.name, "label": run.label, "benchmark": run.benchmark, "stamp": run.stamp,
                "scores": run.scores["all"].model_dump(mode="json", exclude_none=True),
            }
            for run in runs
        ],
    }  # fmt: skip
    write_json(out / "compare.json", found)
    return [pair.sentence() for pair in pairs]


def render(runs: list[Evaluated]) -> str:
    """The page as HTML text."""
    sections = [
        {
            "benchmark": benchmark,
            "lines": [headline(run) for run in group],
            "alike": alike(group),
            "charts": charts(benchmark, group),
            "tables": benchmark_tables(group),
            "timed": any(run.scores["all"].speed for run in group),
        }
        for benchmark, group in by_benchmark(runs).items()
    ]
    return fill("compare.html.j2", sections=sections, tables=overall_tables(runs), runs=runs)


def render_markdown(runs: list[Evaluated]) -> str:
    lines = ["# Evaluations compared", "", *(f"- {run.name}: {run.label} ({run.benchmark})" for run in runs), ""]
    for benchmark, group in by_benchmark(runs).items():
        lines += [f"# {benchmark}", "", *(f"- {headline(run)}" for run in group), *(f"- {one}" for one in alike(group))]
        lines += ["", *(markdown(table, MARKDOWN_ROWS) for table in benchmark_tables(group))]
    lines += ["# Settings and hosts", "", *(markdown(table, MARKDOWN_ROWS) for table in overall_tables(runs))]
    return "\n".join(lines)


def by_benchmark(runs: list[Evaluated]) -> dict[str, list[Evaluated]]:
    return {name: [run for run in runs if run.benchmark == name] for name in dict.fromkeys(r.benchmark for r in runs)}


def alike(group: list[Evaluated]) -> list[str]:
    """Each run beside the first."""
    return [likeness(group[0], run).sentence() for run in group[1:]]


def headline(run: Evaluated) -> str:
    """One sentence on one run, with nothing in it that was not measured."""
    whole = run.scores["all"]
    words = f"{run.name}, {run.label}: "
    if whole.pass_at_k:
        k, found = next(iter(whole.pass_at_k.items()))
        tries = "one try" if k == "1" else f"{k} tries"
        words += f"{percent(found.value)} of {whole.problems} problems solved in {tries}"
        words += f" (95 % interval {percent(found.low)} to {percent(found.high)})"
    if whole.refused_as_hack:
        words += f", {percent(whole.refused_as_hack.value)} of answers refused as hacks"
    baseline = list(whole.speed)[-1:]
    mean = whole.speed[baseline[0]].geometric_mean_speedup if baseline else None
    if mean is None:
        return f"{words}. {'No right answer was timed' if baseline else 'Nothing was timed'}."
    against = "the faster of the baselines" if baseline == [BEST] else baseline[0]
    return f"{words}; right ones run at {mean.value:.2f} times the speed of {against}."


def charts(benchmark: str, group: list[Evaluated]) -> dict[str, Markup]:
    """SVG by caption; what was not measured has none."""
    colours = {run.name: plots.RUNS[number % len(plots.RUNS)] for number, run in enumerate(group)}
    ks = sorted({k for run in group for k in run.scores["all"].pass_at_k}, key=int)
    rows: list[tuple[str, str, Interval]] = [
        (f"pass@{k} {run.name}", colours[run.name], run.scores["all"].pass_at_k[k])
        for k in ks
        for run in group
        if k in run.scores["all"].pass_at_k
    ]
    found = {}
    if rows:
        words = "; ".join(f"{label}: {percent(one.value)}" for label, _, one in rows)
        found["Share of problems solved"] = plots.forest(f"{benchmark}-pass", f"Share solved. {words}", rows)
    counts = [
        (run.name, {stage: one.count for stage, one in run.metrics.stages.items()} | {"passed": run.metrics.passed})
        for run in group
    ]
    found["Where answers stopped"] = plots.stacked(
        f"{benchmark}-stages", "Verdicts by stage as shares; a table holds the numbers", counts
    )
    for baseline in dict.fromkeys(name for run in group for name in run.scores["all"].speed if name != BEST):
        timed = [run for run in group if baseline in run.scores["all"].speed]
        curves = [(run.name, colours[run.name], run.scores["all"].speed[baseline].fast_p) for run in timed]
        found[f"fast p against {baseline}"] = plots.shares(
            f"{benchmark}-fast-{baseline}", f"Share of problems over p times the speed of {baseline}", curves, "p"
        )
        ratios = [
            (run.name, colours[run.name], list(speedups(run.samples.values(), baseline).values())) for run in timed
        ]
        found[f"Speedups over {baseline}"] = plots.histogram(
            f"{benchmark}-speedups-{baseline}", f"Problems by speedup over {baseline}", ratios, "speedup"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.compare", description="Evaluations side by side.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="as python -m eval wrote it")
    parser.add_argument("--out", required=True, type=Path, help="where report.html, report.md and compare.json go")
    chosen = parser.parse_args()
    console = Console()
    try:
        sentences = compare(chosen.folders, chosen.out)
    except UsageError as error:
        parser.error(str(error))
    for sentence in sentences:
        console.print(sentence, highlight=False)
    console.print(f"Report: {(chosen.out / 'report.html').resolve()}")


if __name__ == "__main__":
    main()
