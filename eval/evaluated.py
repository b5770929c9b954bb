"""Reads folders that `python -m eval` left, and says in what their answers, settings and hosts differ."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from configs.errors import UsageError
from configs.stamp import read_json
from eval.benchmarks.scores import Score, by_problem, score
from eval.change import Change, difference
from eval.metrics import Metrics
from eval.samples import Key, Sample, read_samples
from sandbox.types import Passed, Record, Rejected

GROUPS = ("model", "device", "eval", "sandbox")
"""Parts of the configuration that an evaluation depends on."""


@dataclass(frozen=True)
class Evaluated:
    """One evaluation, as found on disk."""

    name: str
    """`R1`, `R2`, …: short, for charts and columns."""
    config: dict[str, Any]
    stamp: dict[str, str]
    metrics: Metrics
    samples: dict[Key, Sample]
    scores: dict[str, Score]
    """By group of problems; of held-out tasks made here of their verdicts."""
    upstream: dict[str, Any]
    """What the benchmark's own protocol says (`eval.upstream`); {} where it was not run."""
    left_out: dict[str, str]

    @property
    def benchmark(self) -> str:
        return str(self.config["eval"]["benchmark"])

    @cached_property
    def label(self) -> str:
        """What was evaluated, and how its answers came about."""
        settings = self.config["eval"]
        if settings["engine"] == "files":
            return f"answers in {Path(settings['answers']).name}"
        who = settings["endpoint"]["model"] if settings["engine"] == "openai" else self.config["model"]["name"]
        stage = "endpoint" if settings["engine"] == "openai" else settings["model"]
        return f"{who} {stage}, {settings['engine']}, temperature {settings['temperature']:g}"


class Likeness(Record):
    """Two evaluations of one benchmark, sample by sample."""

    first: str
    second: str
    samples: int
    """That both have, for the same prompt."""
    equal_completions: int
    equal_verdicts: int
    """Both passed, or both rejected at the same stage."""
    change: Change | None
    """Of pass@1, from the first to the second."""

    def sentence(self) -> str:
        who = f"{self.first} and {self.second}"
        if not self.samples:
            return f"{who}: no prompt in common."
        words = f"{who}: {_of(self.equal_completions, self.samples)} completions are equal, and "
        words += f"{_of(self.equal_verdicts, self.samples)} verdicts."
        if self.change is None:
            return f"{words} Too few tasks in common to compare scores."
        low, high = 100 * self.change.low, 100 * self.change.high
        noise = "within" if self.change.verdict == "unclear" else "beyond"
        words += f" pass@1 differs by {100 * self.change.value:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}"
        words += f", {self.change.tasks} tasks, sign test p = {self.change.sign_test_p:.2g})"
        return f"{words}, {noise} sampling noise."


def read_evaluated(folder: Path, name: str) -> Evaluated:
    """Read one folder.

    Raises:
        UsageError: it holds no finished evaluation; the message names what is missing.
        UsageError: nothing in it was judged, or a file is damaged.
    """
    metrics = Metrics.model_validate(_json(folder / "metrics.json"))
    samples = read_samples(folder / "samples.jsonl")
    found = _json(folder / "scores.json") if (folder / "scores.json").exists() else {}
    known = {group: Score.model_validate(one) for group, one in found.items()}
    scores = known or _scores(metrics, list(samples.values()))
    if "all" not in scores:
        raise UsageError(f"{folder} holds no judged answer; run python -m eval there again, to its end")
    left_out, upstream = folder / "left_out.json", folder / "upstream.json"
    return Evaluated(
        name=name,
        config=cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))),
        stamp=_json(folder / "stamp.json"),
        metrics=metrics,
        samples=samples,
        scores=scores,
        upstream=_json(upstream)["figures"] if upstream.exists() else {},
        left_out=_json(left_out) if left_out.exists() else {},
    )


def likeness(first: Evaluated, second: Evaluated) -> Likeness:
    pairs = [(first.samples[key], second.samples[key]) for key in first.samples.keys() & second.samples.keys()]
    alike = [(a, b) for a, b in pairs if a.prompt == b.prompt]
    return Likeness(
        first=first.name,
        second=second.name,
        samples=len(alike),
        equal_completions=sum(a.completion == b.completion for a, b in alike),
        equal_verdicts=sum(_outcome(a) == _outcome(b) for a, b in alike),
        change=difference(first.metrics.tasks, second.metrics.tasks, 1),
    )


def differing(runs: list[Evaluated]) -> list[tuple[str, list[str]]]:
    """Settings and parts of the stamp that are not the same in all runs: (key, value in each run)."""
    flat = [flatten({group: run.config.get(group) for group in GROUPS}) | flatten(run.stamp, "stamp") for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = [(key, [str(one.get(key, "")) for one in flat]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Leaves by dotted name; an interval is one leaf."""
    if not isinstance(value, dict) or {"value", "low", "high"} <= value.keys():
        return {name: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= flatten(item, f"{name}.{key}" if name else str(key))
    return found


def _scores(metrics: Metrics, samples: list[Sample]) -> dict[str, Score]:
    problems = by_problem(samples)
    groups = {"all": list(metrics.tasks)}
    for family in metrics.families:
        groups[f"family {family}"] = [task for task, counted in metrics.tasks.items() if counted.family == family]
    ks = [int(k) for k in metrics.pass_at_k]
    judged = {group: [problems[task] for task in tasks if task in problems] for group, tasks in groups.items()}
    return {group: score(found, ks) for group, found in judged.items() if found}


def _outcome(sample: Sample) -> str:
    match sample.verdict:
        case Passed():
            return "passed"
        case Rejected(stage=stage):
            return stage
        case _:
            return f"not judged {sample.key}"


def _of(part: int, whole: int) -> str:
    return f"all {whole}" if part == whole else f"{part} of {whole}"


def _json(path: Path) -> Any:
    if not path.exists():
        raise UsageError(f"there is no {path}; give the folder of an evaluation that python -m eval has finished")
    return read_json(path)
