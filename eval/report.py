"""`python -m eval.report experiment=quickstart`: one self-contained `<out>/report.html`, and `<out>/results.json`.

No scripts, no external resources: the page works from a disk, offline, and a content policy in it forbids the rest.
Stages that have not run are named as missing; nothing is filled in for them.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hydra
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from omegaconf import DictConfig
from rich.console import Console

from configs.errors import explained
from configs.main import validate
from configs.stamp import stamp, write_json, write_text
from eval import plots, story
from eval.gather import MODELS, Run, read_run
from eval.plots import PARTS, STAGES
from eval.showcase import exhibits, harvested
from sandbox.types import Passed

HERE = Path(__file__).parent
SERIES = (("base", "Untrained"), ("sft", "SFT"), ("rl", "GRPO"))


def write_report(out: Path) -> Path:
    """Write `report.html` and `results.json` into the run folder; returns the path of the page.

    Raises:
        FileNotFoundError: `out` does not exist.
        ValueError: a file of the run is damaged.
    """
    run = read_run(out)
    write_json(out / "results.json", {"stamp": run.stamp or stamp(), "summary": story.summary(run)})
    return write_text(out / "report.html", render(run))


def fill(template: str, **values: Any) -> str:
    """A page of `template` with the style sheet and the time in it."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    css = Markup((HERE / "report.css").read_text(encoding="utf-8"))
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment.get_template(template).render(css=css, written=written, **values)


def render(run: Run) -> str:
    """The page as HTML text."""
    intro, shown = exhibits(run)
    verdicts = verdict_columns(run)
    return fill(
        "report.html.j2",
        run=run,
        story=story,
        parts=[part for part in PARTS if any(column["counts"].get(part) for column in verdicts)],
        models=SERIES,
        charts=charts(run),
        verdicts=verdicts,
        taxonomy=taxonomy(run),
        families=families(run),
        exhibits=shown,
        exhibits_intro=intro,
        harvested=harvested(run.kernels),
        longest=max(run.stage_seconds.values(), default=0),
        model_name=run.config.get("model", {}).get("name", "a language model"),
        timed=any(isinstance(s.verdict, Passed) and s.verdict.timings for found in run.samples.values() for s in found),
        parameters=run.config.get("model", {}).get("parameters_millions"),
        pass_ks=pass_ks(run),
        uncertain=any(found.method == "exact" for m in run.metrics.values() for found in m.pass_at_k.values()),
        latest_label=story.in_sentence(run.latest_model) if run.latest_model else "",
        licences=counted((run.data or {}).get("licences")),
        refused=counted((run.data or {}).get("refused")),
        differing=differing_stamps(run),
    )


def charts(run: Run) -> dict[str, Markup]:
    """SVG by name: `loss`, `reward`, `pass`, `verdicts`; those without data are missing."""
    found = {}
    if loss := run.sft_curves.get("loss"):
        words = f"SFT loss by step, from {loss[0].value:.3f} to {loss[-1].value:.3f}"
        found["loss"] = plots.curve("loss", words, loss, "loss", "sft")
    if reward := run.rl_curves.get("reward"):
        words = f"Mean GRPO reward by step, from {reward[0].value:.3f} to {reward[-1].value:.3f}"
        found["reward"] = plots.curve("reward", words, reward, "mean reward", "rl", run.rl_curves.get("reward_std", ()))
    rows = [
        (f"pass@{k} {label}", model, run.metrics[model].pass_at_k[k])
        for k in pass_ks(run)
        for model, label in SERIES
        if model in run.metrics and k in run.metrics[model].pass_at_k
    ]
    if rows:
        words = "; ".join(f"{label}: {story.percent(found_.value)}" for label, _, found_ in rows)
        found["pass"] = plots.forest("pass", f"Share of held-out tasks solved. {words}", rows)
    columns = [(column["label"], column["counts"]) for column in verdict_columns(run)]
    if columns:
        found["verdicts"] = plots.stacked(
            "verdicts", "Verdicts by stage as shares; the table holds the counts", columns
        )
    return found


def pass_ks(run: Run) -> list[str]:
    return sorted({k for metrics in run.metrics.values() for k in metrics.pass_at_k}, key=int)


def verdict_columns(run: Run) -> list[dict[str, Any]]:
    """Counts of verdicts for each evaluated model and for the GRPO rollouts."""
    columns = [
        {
            "label": label,
            "counts": {stage: found.count for stage, found in metrics.stages.items()} | {"passed": metrics.passed},
            "broken": metrics.broken,
        }
        for model, label in SERIES
        if (metrics := run.metrics.get(model))
    ]
    if run.rollouts:
        counts = story.parts_of(run.rollouts)
        columns.append({"label": "rollouts", "counts": counts, "broken": len(run.rollouts) - sum(counts.values())})
    return columns


def taxonomy(run: Run) -> list[dict[str, Any]]:
    """Rejections of the latest evaluated model by stage, in the order of the stages."""
    if run.latest_model is None:
        return []
    metrics = run.metrics[run.latest_model]
    return [
        {
            "stage": stage,
            "words": story.STAGE_WORDS[stage],
            "count": metrics.stages[stage].count,
            "share": metrics.stages[stage].count / metrics.judged,
            "reasons": metrics.stages[stage].reasons,
        }
        for stage in STAGES
        if stage in metrics.stages
    ]


def families(run: Run) -> list[dict[str, Any]]:
    """pass@(largest k) by operator family, for each evaluated model."""
    names = sorted({family for metrics in run.metrics.values() for family in metrics.families})
    return [
        {"family": family, "models": {m: run.metrics[m].families.get(family) for m in MODELS if m in run.metrics}}
        for family in names
    ]


def counted(found: dict[str, int] | None) -> list[tuple[str, int]]:
    """Largest count first."""
    return sorted((found or {}).items(), key=lambda item: (-item[1], item[0]))


def differing_stamps(run: Run) -> list[str]:
    """Keys of the stamp in which the stages differ: then the run is not from one machine or one state of the code."""
    keys = sorted({key for found in run.stamps.values() for key in found})
    return [key for key in keys if len({found.get(key) for found in run.stamps.values()}) > 1]


@hydra.main(version_base=None, config_path="pkg://configs", config_name="config")
def main(cfg: DictConfig) -> None:
    with explained():
        page = write_report(validate(cfg).out_dir)
    Console().print(f"Report: {page.resolve()}")


if __name__ == "__main__":
    main()
