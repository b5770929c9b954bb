"""`python -m eval experiment=quickstart eval.model=base|sft|rl`: pass@k on held-out tasks, judged by our own sandbox.

`eval.engine=openai` evaluates what `eval.endpoint` serves instead, as model `endpoint`. `eval.benchmark=kernelbench
eval.root=CLONE` poses KernelBench's items instead of held-out tasks, under our protocol: hidden inputs beside its own;
`eval.benchmark=suite` poses the reference suite, `tritonbench_g` and `tritonbench_t` with a clone TritonBench's halves.
With `eval.engine=files eval.answers=FOLDER` no model is asked, and the answers in files are judged; of TritonBench,
`golds` are its gold code.

Writes `<out>/eval/<model>/samples.jsonl`, `prompts.json` and `metrics.json`; of a benchmark into
`<out>/eval/kernelbench/<model>` (or `…/files`), with its own scores in `scores.json`; `left_out.json` says which items
were not posed, and why. `python -m eval.compare` makes one page of any number of such folders. Started again, it goes
on where it stopped; verdicts that were our fault (Broken) are judged again. Exit code 2 if nothing could be judged.
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from configs.errors import explained
from configs.main import start, validate
from configs.schema import Config
from configs.stages import trained_model


def checkpoint(config: Config) -> Path | None:
    """The weights to evaluate; None: those that `config.model` names, or an endpoint's.

    Raises:
        SystemExit: the training stage has not written them.
    """
    subject = config.eval.subject
    return trained_model(config.out_dir, subject) if subject in ("sft", "rl") else None


def stage(config: Config) -> str:
    """Where in the run's folder this evaluation writes."""
    who = config.eval.subject
    return f"eval/{who}" if config.eval.benchmark == "heldout" else f"eval/{config.eval.benchmark}/{who}"


def run(config: Config) -> Any:
    """Generate, judge and measure; returns `eval.metrics.Metrics`."""
    from configs.stamp import write_json
    from eval import evaluate
    from eval.generate import load_engine
    from eval.metrics import measure
    from eval.posed import posed, take_answers
    from eval.samples import read_samples
    from sandbox.local import LocalSandbox

    weights = checkpoint(config)
    folder = config.out_dir / stage(config)
    asked = posed(config)
    tasks, answers = asked.tasks, asked.answers
    judging = evaluate.judging(config)
    evaluate.prepare(folder, evaluate.generation_origin(config, weights), judging.model_dump(mode="json"))
    path = folder / "samples.jsonl"
    count = config.eval.samples
    if answers is None:
        evaluate.generate_missing(path, tasks, lambda: load_engine(config, weights), config, asked.messages)
    else:
        count = take_answers(path, answers, tasks)

    async def judge() -> None:
        async with LocalSandbox.from_config(config.sandbox) as sandbox:
            await evaluate.judge_missing(path, tasks, count, sandbox, judging)
            if config.sandbox.gpus:
                await evaluate.judge_missing(path, tasks, count, evaluate.Alone(sandbox), judging)

    asyncio.run(judge())
    found = read_samples(path)
    samples = [found[key] for key in evaluate.wanted(tasks, count) if answers is None or key in found]
    metrics = measure(config.eval.subject, samples, asked.groups, config.eval.pass_k)
    if config.eval.benchmark != "heldout":
        write_json(folder / "left_out.json", asked.left_out)
        scored = asked.scores(samples, config.eval.pass_k)
        write_json(folder / "scores.json", {name: score.model_dump(mode="json") for name, score in scored.items()})
    write_json(folder / "metrics.json", metrics.model_dump(mode="json"))
    return metrics


def show(metrics: Any, console: Console) -> None:
    """pass@k with its interval, and where the rejected samples stopped."""
    title = f"{metrics.model}: {len(metrics.tasks)} tasks, {metrics.judged} samples judged"
    table = Table("what", "value", "95 % interval / most frequent reason", title=title, title_justify="left")
    for k, found in metrics.pass_at_k.items():
        table.add_row(f"pass@{k}", f"{found.value:.1%}", f"{found.low:.1%} to {found.high:.1%}")
    table.add_row("truncated", f"{metrics.truncated_share:.1%}", "", end_section=True)
    table.add_row("passed", str(metrics.passed), "")
    for stage, counted in metrics.stages.items():
        table.add_row(f"rejected: {stage}", str(counted.count), counted.reasons[0].text)
    if metrics.broken:
        table.add_row("broken (not counted)", str(metrics.broken), "run the same command again to judge them again")
    console.print(table)


@hydra.main(version_base=None, config_path="pkg://configs", config_name="config")
def main(cfg: DictConfig) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    config = validate(cfg)
    checkpoint(config)
    with explained():
        config = start(cfg, stage(config))
        metrics = run(config)
    show(metrics, Console())
    if not metrics.judged:
        print("Every verdict is Broken: the sandbox does not work on this machine.", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
