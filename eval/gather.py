"""Reads a run folder into one `Run`. Every stage may be missing: then its part is None or empty, never made up."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from pydantic import TypeAdapter

from configs.errors import UsageError
from configs.stamp import read_json
from data_pipeline.store import load_kernels, load_pairs, load_tasks
from data_pipeline.task import Kernel, Solution, Task
from eval.metrics import Metrics
from eval.samples import Sample, read_samples
from sandbox.types import Broken, Passed, Record, Rejected, Verdict

MODELS = ("base", "sft", "rl")
"""In the order of training."""
STAGE_FOLDERS = ("data", "sft", "rl", "eval/base", "eval/sft", "eval/rl")

_VERDICT: TypeAdapter[Passed | Rejected | Broken] = TypeAdapter(Verdict)


class Point(Record):
    """One logged value of a training curve."""

    step: int
    value: float


@dataclass(frozen=True)
class Run:
    """Everything that the report shows, as found on disk."""

    name: str
    """Name of the run's folder."""
    stamps: dict[str, dict[str, str]]
    """By stage folder; the newest stage last."""
    config: dict[str, Any]
    stage_seconds: dict[str, float]
    data: dict[str, Any] | None
    kernels: list[Kernel]
    tasks: dict[str, Task]
    solutions: list[Solution]
    sft: dict[str, Any] | None
    sft_curves: dict[str, list[Point]]
    """`loss`, `eval_loss`: those that were logged."""
    rl: dict[str, Any] | None
    rl_curves: dict[str, list[Point]]
    """`reward`, `reward_std`: those that were logged."""
    rollouts: list[Passed | Rejected | Broken]
    """Verdicts of the GRPO completions."""
    metrics: dict[str, Metrics]
    """By model: base, sft, rl."""
    samples: dict[str, list[Sample]]

    @property
    def stamp(self) -> dict[str, str]:
        """The stamp of the newest stage; empty where no stage ran."""
        return list(self.stamps.values())[-1] if self.stamps else {}

    @property
    def latest_model(self) -> str | None:
        """The furthest trained model that was evaluated."""
        evaluated = [model for model in MODELS if model in self.metrics]
        return evaluated[-1] if evaluated else None


def read_run(out: Path) -> Run:
    """Read what the stages left in `out`.

    Raises:
        UsageError: `out` itself does not exist.
        UsageError: a file that exists is damaged; the message names it.
    """
    if not out.is_dir():
        raise UsageError(f"{out} does not exist: run a stage first, for example python -m data_pipeline")
    metrics = {m: Metrics.model_validate(found) for m in MODELS if (found := _json(out / "eval" / m / "metrics.json"))}
    has_data = (out / "data" / "tasks.parquet").exists()
    pairs = load_pairs(out / "data", None) if has_data else []
    rollouts = sorted((out / "rl").glob("rollouts*.jsonl"))  # one a process of the training job
    return Run(
        name=out.resolve().name,
        stamps={f: found for f in STAGE_FOLDERS if (found := _json(out / f / "stamp.json"))},
        config=_config(out),
        stage_seconds=_json(out / "stages.json") or {},
        data=_json(out / "data" / "summary.json"),
        kernels=load_kernels(out / "data") if has_data else [],
        tasks={task.id: task for task in load_tasks(out / "data")} if has_data else {},
        solutions=[solution for _, solution in pairs],
        sft=_json(out / "sft" / "summary.json"),
        sft_curves=_curves(out / "sft" / "metrics.jsonl", ("loss", "eval_loss")),
        rl=_json(out / "rl" / "summary.json"),
        rl_curves=_curves(out / "rl" / "metrics.jsonl", ("reward", "reward_std")),
        rollouts=[_VERDICT.validate_python(row["verdict"]) for file in rollouts for row in _jsonl(file)],
        metrics=metrics,
        samples={m: list(read_samples(out / "eval" / m / "samples.jsonl").values()) for m in metrics},
    )


def _json(path: Path) -> Any:
    if not path.exists():
        return None
    return read_json(path)


def _jsonl(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break  # a stage still writing, or killed while it wrote: its last line is not whole yet
            raise UsageError(f"{path}:{number} is no JSON ({error}); run its stage again") from error
    return rows


def _curves(path: Path, names: tuple[str, ...]) -> dict[str, list[Point]]:
    """One curve for each name that occurs; a step logged twice (a resumed stage) keeps its last value."""
    curves: dict[str, dict[int, float]] = {}
    for row in _jsonl(path):
        for name in names:
            if isinstance(row.get(name), int | float):
                curves.setdefault(name, {})[int(row["step"])] = float(row[name])
    return {name: [Point(step=s, value=v) for s, v in sorted(curve.items())] for name, curve in curves.items()}


def _config(out: Path) -> dict[str, Any]:
    """The resolved configuration that the newest stage left."""
    for folder in reversed(STAGE_FOLDERS):
        path = out / folder / "config.yaml"
        if path.exists():
            return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))
    return {}
