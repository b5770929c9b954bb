"""What a comparison says, as tables of text that HTML and Markdown show alike."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from eval.benchmarks.scores import UNMARKED, Score
from eval.evaluated import Evaluated, differing, flatten
from eval.metrics import Interval, hack
from eval.plots import STAGES
from eval.story import STAGE_WORDS, percent
from sandbox.types import Record, Rejected

NOTHING = "–"


class Table(Record):
    """Cells are plain text; the first column is a heading."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    text: bool = False
    """Cells are words, not numbers."""


def benchmark_tables(runs: list[Evaluated]) -> list[Table]:
    """Of runs of one benchmark; tables without rows are left out."""
    tables = [results(runs), speed(runs), groups(runs), upstream(runs), taxonomy(runs), reasons(runs), hacks(runs)]
    return [table for table in tables if table.rows]


def overall_tables(runs: list[Evaluated]) -> list[Table]:
    """Of all runs of a comparison."""
    names = [run.name for run in runs]
    keys = dict.fromkeys(key for run in runs for key in run.stamp)
    same = Table(
        title="What differs between the runs",
        header=("setting", *names),
        rows=tuple((key, *values) for key, values in differing(runs)),
        text=True,
    )
    stamps = Table(
        title="Stamps",
        header=("", *names),
        rows=tuple((key, *(run.stamp.get(key, NOTHING) for run in runs)) for key in keys),
        text=True,
    )
    return [same, stamps]


def results(runs: list[Evaluated]) -> Table:
    ks = sorted({k for run in runs for k in run.scores["all"].pass_at_k}, key=int)
    rows = []
    for run in runs:
        for group, score in _whole(run):
            rows.append((
                f"{run.name}{group}", str(score.problems), *(share(score.pass_at_k.get(k)) for k in ks),
                share(score.refused_as_hack), share(score.coverage), share(score.roofline_share),
                *([str(run.metrics.judged), percent(run.metrics.truncated_share), str(run.metrics.broken),
                   str(len(run.left_out))] if not group else [""] * 4),
            ))  # fmt: skip
    return Table(
        title="Results",
        header=("run", "problems", *(f"pass@{k}" for k in ks), "refused as hack", "coverage", "share of roofline",
                "answers judged", "cut off", "not judged", "not posed"),
        rows=tuple(rows),
        note="In brackets: 95 % interval over problems. Coverage is the share of time spent in Triton launches. Not "
        "judged: a fault of the sandbox, counted nowhere.",
    )  # fmt: skip


def speed(runs: list[Evaluated]) -> Table:
    rows, ps = [], dict.fromkeys(p for run in runs for one in run.scores["all"].speed.values() for p in one.fast_p)
    for run in runs:
        for group, score in _whole(run):
            for baseline, found in score.speed.items():
                rows.append((
                    f"{run.name}, {baseline}{group}", str(found.problems), times(found.geometric_mean_speedup),
                    share(found.sol), *(share(found.fast_p.get(p)) for p in ps), str(found.compiled_in_parts),
                ))  # fmt: skip
    return Table(
        title="Speed",
        header=(
            "run, baseline", "problems", "mean speedup", "SOL score", *(f"fast {p:g}" for p in ps), "compiled in parts",
        ),
        rows=tuple(rows),
        note="Mean speedup is geometric, over right answers. fast p is the share of problems that are right and more "
        "than p times as fast. `best` is the faster baseline of each case. Compiled in parts: problems of which "
        "`torch.compile` left something to Python, so that a baseline could be faster.",
    )  # fmt: skip


def groups(runs: list[Evaluated]) -> Table:
    names = dict.fromkeys(name for run in runs for name in run.scores)
    timed = any(run.scores["all"].speed for run in runs)
    return Table(
        title="By level and family",
        header=("problems", *(run.name for run in runs)),
        rows=tuple((name, *(_cell(run.scores.get(name)) for run in runs)) for name in names),
        note="pass@k of the smallest k" + (", and mean speedup over the faster baseline." if timed else "."),
    )


def upstream(runs: list[Evaluated]) -> Table:
    """Upstream's figures under their own names, beside ours where we have one of the same name."""
    shown = [(run, flatten(run.upstream)) for run in runs if run.upstream]
    ours = {run.name: _flat_scores(run) for run, _ in shown}
    keys = dict.fromkeys(key for _, found in shown for key in found)
    return Table(
        title="Upstream's protocol beside the hardened one",
        header=("figure", *(f"{run.name} {way}" for run, _ in shown for way in ("upstream", "hardened"))),
        rows=tuple(
            (key, *(text for run, found in shown for text in (figure(found.get(key)), figure(ours[run.name].get(key)))))
            for key in keys
        ),
    )


def taxonomy(runs: list[Evaluated]) -> Table:
    found = [stage for stage in STAGES if any(stage in run.scores["all"].stages for run in runs)]
    return Table(
        title="Where answers were rejected",
        header=("stage", *(run.name for run in runs)),
        rows=tuple(
            (f"{stage}: {STAGE_WORDS[stage]}", *(share(run.scores["all"].stages.get(stage)) for run in runs))
            for stage in found
        ),
    )


def reasons(runs: list[Evaluated]) -> Table:
    return Table(
        title="The sandbox’s most frequent words",
        header=("run and stage", "answers", "reason"),
        rows=tuple(
            (f"{run.name}, {stage}", str(reason.count), reason.text)
            for run in runs
            for stage in STAGES
            if stage in run.metrics.stages
            for reason in run.metrics.stages[stage].reasons
        ),
        text=True,
    )


def hacks(runs: list[Evaluated]) -> Table:
    """Every refused hack. Its note counts them by kind."""
    rows, kinds = [], Counter[str]()
    for run in runs:
        for sample in sorted(run.samples.values(), key=lambda sample: sample.key):
            verdict = sample.verdict
            if isinstance(verdict, Rejected) and (kind := hack(verdict)):
                kinds[kind] += 1
                where = f"{sample.task_id}, answer {sample.index}"
                rows.append((f"{run.name}, {kind}", where, verdict.stage, verdict.reason))
    return Table(
        title="Answers refused as hacks",
        header=("run and kind", "answer", "stage", "reason"),
        rows=tuple(rows),
        note="; ".join(f"{count} × {kind}" for kind, count in kinds.most_common()),
        text=True,
    )


def markdown(table: Table, most: int) -> str:
    """The table as Markdown, at most so many rows of it."""
    lines = [f"## {table.title}", ""]
    if table.note:
        lines += [_escape(table.note), ""]
    lines += [_line(table.header), _line(["---", *("---" if table.text else "---:" for _ in table.header[1:])])]
    lines += [_line([_escape(cell) for cell in row]) for row in table.rows[:most]]
    if len(table.rows) > most:
        lines += ["", f"{len(table.rows) - most} more rows are in report.html."]
    return "\n".join(lines) + "\n"


def share(found: Interval | None) -> str:
    """A share of 1 with its interval."""
    if found is None:
        return NOTHING
    return f"{percent(found.value)} [{100 * found.low:.0f}–{100 * found.high:.0f}]"


def times(found: Interval | None) -> str:
    """A ratio with its interval."""
    return NOTHING if found is None else f"{found.value:.2f}× [{found.low:.2f}–{found.high:.2f}]"


def figure(value: Any) -> str:
    """A leaf of `flatten`, whatever it is."""
    if isinstance(value, dict):
        return f"{value['value']:.4g} [{value['low']:.4g}–{value['high']:.4g}]"
    if value is None:
        return NOTHING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _whole(run: Evaluated) -> list[tuple[str, Score]]:
    """All problems, and those without marks where there are marked ones."""
    found = [("", run.scores["all"])]
    if "all" + UNMARKED in run.scores:
        found.append((UNMARKED, run.scores["all" + UNMARKED]))
    return found


def _cell(score: Score | None) -> str:
    if score is None:
        return NOTHING
    first = next(iter(score.pass_at_k.values()), None)
    mean = [found.geometric_mean_speedup for found in score.speed.values()][-1:]  # `best`, where there are several
    return f"{share(first)} of {score.problems}" + "".join(f", {times(found)}" for found in mean if found)


def _flat_scores(run: Evaluated) -> dict[str, Any]:
    return flatten({name: score.model_dump(mode="json") for name, score in run.scores.items()})


def _escape(text: str) -> str:
    for mark, instead in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|")):
        text = text.replace(mark, instead)
    return " ".join(text.split())


def _line(cells: Iterable[str] | Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
