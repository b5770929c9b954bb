"""Turns a run into plain words and the numbers of the summary. No numbers that are not in the run's files."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from eval.change import Change, difference
from eval.gather import MODELS, Run
from eval.metrics import Metrics
from sandbox.types import Broken, Passed, Record, Rejected

MODEL_NAMES = {"base": "Untrained", "sft": "After SFT", "rl": "After GRPO"}
STAGE_WORDS = {
    "extract": "the answer holds no Python code block",
    "screen": "not the shape of a Triton kernel: syntax error, missing function, forbidden import or construct",
    "trace": "the host code or the kernel raised an error before anything was launched",
    "plan": "what it wants to launch is not allowed or leaves an output unwritten",
    "compile": "Triton could not compile it for the target",
    "launch": "the kernel crashed, or touched memory outside its tensors",
    "numerics": "it ran to the end, but the result is wrong",
    "timeout": "it took longer than its limit",
    "tamper": "it tried to influence its own judging",
}


class Step(Record):
    """One box of the pipeline flow."""

    label: str
    number: str
    note: str
    done: bool


def headline(run: Run) -> str:
    """One sentence: what happened in this run, claiming no more than the intervals allow."""
    latest = run.latest_model
    if latest is None:
        return "The run has not been evaluated yet, so it says nothing about how good the model is."
    after = run.metrics[latest]
    k = _largest_k(after)
    if k is None:
        return "The evaluation could not be judged: every verdict was a fault of the sandbox or the machine."
    value = after.pass_at_k[k].value
    tasks = f"{after.pass_at_k[k].tasks} held-out tasks"
    before = run.metrics.get("base")
    if latest == "base" or before is None:
        return f"{MODEL_NAMES[latest]}, the model solves {percent(value)} of {tasks} within {_tries(k)}."
    change = difference(before.tasks, after.tasks, int(k))
    if k not in before.pass_at_k or change is None:
        solved = f"{MODEL_NAMES[latest]}, the model solves {percent(value)} of {tasks} within {_tries(k)}"
        return f"{solved}; the untrained model was not evaluated, so there is nothing to compare with."
    start = before.pass_at_k[k].value
    if not before.passed and not after.passed:
        return f"No correct kernel yet: {_tries(k)} on each of {tasks} gave none, neither before training nor after."
    moved = f"the share of {tasks} solved within {_tries(k)} went from {percent(start)} to {percent(value)}"
    if change.verdict == "better":
        return f"Training helped: {moved}."
    if change.verdict == "worse":
        return f"Training hurt: {moved}."
    if change.low > 0:
        return f"Training helped on these tasks: {moved}. They are too few to promise it for others."
    return f"No clear change: {moved}, which may be chance."


def details(run: Run) -> list[str]:
    """Sentences under the headline."""
    lines = []
    if run.data:
        lines.append(
            f"{run.data.get('harvested_kernels', 0)} Triton kernels were harvested, and "
            f"{run.data.get('admitted_tasks', 0)} of {run.data.get('proposed_tasks', 0)} proposed tasks were admitted: "
            "each has a reference and a solution that our own sandbox passed."
        )
    if ran := _ran_sentence(run):
        lines.append(ran)
    change = paired_change(run, "sft", "rl")
    if change and (run.metrics["sft"].passed or run.metrics["rl"].passed):
        words = {"better": "added to", "worse": "took away from", "unclear": "made no clear difference to"}[
            change.verdict
        ]
        lines.append(f"GRPO {words} what SFT had reached ({points(change)}).")
    if run.stage_seconds:
        lines.append(f"The whole run took {duration(sum(run.stage_seconds.values()))} {on_machine(run)}.")
    missing = [word for found, word in ((run.data, "data"), (run.sft, "SFT"), (run.rl, "GRPO")) if found is None]
    if missing:
        lines.append(f"Not run yet, or switched off: {', '.join(missing)}.")
    return lines


def flow(run: Run) -> list[Step]:
    """The pipeline from harvested kernels to evaluated tasks."""
    data, sft, rl = run.data, run.sft, run.rl
    harvested, proposed, admitted = (
        data.get(key) if data else None for key in ("harvested_kernels", "proposed_tasks", "admitted_tasks")
    )
    evaluated = run.metrics.get(run.latest_model or "")
    rate = f"{percent(admitted / proposed)} passed our sandbox" if admitted is not None and proposed else ""
    return [
        _step("Triton kernels harvested", harvested, ", ".join((data or {}).get("licences", {}))),
        _step("tasks proposed", proposed, "reference plus solution"),
        _step("tasks admitted", admitted, rate),
        _step("SFT steps", steps_of(sft), _last(run.sft_curves.get("loss"), "loss")),
        _step("GRPO steps", steps_of(rl), _last(run.rl_curves.get("reward"), "reward")),
        _step(
            "held-out tasks evaluated",
            len(evaluated.tasks) if evaluated else None,
            f"{evaluated.samples} samples a model" if evaluated else "",
        ),
    ]


def summary(run: Run) -> dict[str, Any]:
    """The `summary` of results.json; None for what was not run."""
    latest = run.metrics.get(run.latest_model or "")
    data = run.data or {}
    return {
        "total_seconds": round(sum(run.stage_seconds.values()), 1) if run.stage_seconds else None,
        "stage_seconds": run.stage_seconds,
        "harvested_kernels": data.get("harvested_kernels"),
        "admitted_tasks": data.get("admitted_tasks"),
        "sft_steps": steps_of(run.sft),
        "grpo_steps": steps_of(run.rl),
        "parameters_changed": (run.rl or {}).get("parameters_changed"),
        "eval_tasks": len(latest.tasks) if latest else None,
        "pass_at_k": {
            model: {k: found.model_dump() for k, found in metrics.pass_at_k.items()}
            for model, metrics in run.metrics.items()
        },
        "ran_share": {model: ran_share(metrics) for model, metrics in run.metrics.items()},
        "headline": headline(run),
    }


def paired_change(run: Run, before: str, after: str) -> Change | None:
    """Change of pass@(largest k) between two evaluated models, paired by task."""
    if before not in run.metrics or after not in run.metrics:
        return None
    k = _largest_k(run.metrics[after])
    return difference(run.metrics[before].tasks, run.metrics[after].tasks, int(k)) if k else None


def parts_of(verdicts: Iterable[Passed | Rejected | Broken]) -> dict[str, int]:
    """Counts of `passed` and of the stages of rejection; Broken verdicts are left out."""
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        if isinstance(verdict, Passed):
            counts["passed"] += 1
        elif isinstance(verdict, Rejected):
            counts[verdict.stage] += 1
    return dict(counts)


def ran_share(metrics: Metrics) -> float | None:
    """Share of judged samples that ran to the end on every tensor, right or wrong; None where none was judged."""
    wrong = metrics.stages["numerics"].count if "numerics" in metrics.stages else 0
    return (metrics.passed + wrong) / metrics.judged if metrics.judged else None


def in_sentence(model: str) -> str:
    """`after GRPO`: the name of a model inside a sentence."""
    return MODEL_NAMES[model][0].lower() + MODEL_NAMES[model][1:]


def steps_of(stage: dict[str, Any] | None) -> int | None:
    return stage.get("steps") if stage else None


def has_gpu(run: Run) -> bool:
    return any(stamp.get("gpu", "none") != "none" for stamp in run.stamps.values())


def on_machine(run: Run) -> str:
    if not run.stamp:
        return "on an unrecorded machine"
    return f"on {run.stamp.get('gpu')}" if has_gpu(run) else f"without a GPU ({run.stamp.get('cpu', 'unknown CPU')})"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share in (0, 1) or share >= 0.1 else f"{100 * share:.1f} %"


def points(change: Change) -> str:
    """A change with its interval, in percentage points."""
    span = f"95 % interval {100 * change.low:+.0f} to {100 * change.high:+.0f}"
    tasks = f"{change.improved} of {change.tasks} tasks up, {change.worsened} down"
    return f"{100 * change.value:+.0f} points, {span}; {tasks}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _ran_sentence(run: Run) -> str:
    shares = {
        model: share
        for model in MODELS
        if model in run.metrics and (share := ran_share(run.metrics[model])) is not None
    }
    if len(shares) < 2:
        return ""
    text = " → ".join(f"{percent(share)} {in_sentence(model)}" for model, share in shares.items())
    return f"Kernels that at least ran to the end, right or wrong: {text}."


def _step(label: str, number: int | None, note: str) -> Step:
    done = number is not None
    shown = f"{number:,}" if number is not None else "not run"
    return Step(label=label, number=shown, note=note if done else "", done=done)


def _last(points_: list[Any] | None, word: str) -> str:
    return f"{word} {points_[0].value:.2f} → {points_[-1].value:.2f}" if points_ else ""


def _largest_k(metrics: Metrics) -> str | None:
    return max(metrics.pass_at_k, key=int, default=None)


def _tries(k: str) -> str:
    return "one try" if k == "1" else f"{k} tries"
