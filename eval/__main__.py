"""`python -m eval experiment=quickstart eval.model=base|sft|rl`: pass@k on held-out tasks, judged by our own sandbox.

`eval.engine=openai` evaluates what `eval.endpoint` serves instead, as model `endpoint`.
Writes `<out>/eval/<model>/samples.jsonl`, `prompts.json` and `metrics.json`. Started again, it goes on where it
stopped; verdicts that were our fault (Broken) are judged again. Exit code 2 if nothing could be judged.
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


def run(config: Config) -> Any:
    """Generate, judge and measure; returns `eval.metrics.Metrics`."""
    from configs.stamp import write_json
    from data_pipeline.verify import Judging
    from eval import evaluate
    from eval.generate import load_engine
    from eval.metrics import measure
    from eval.samples import read_samples
    from sandbox.local import LocalSandbox

    weights = checkpoint(config)
    folder = config.out_dir / "eval" / config.eval.subject
    tasks = evaluate.heldout_tasks(config.out_dir / "data", config.eval.tasks)
    judging = Judging.from_config(config.sandbox)
    evaluate.prepare(folder, evaluate.generation_origin(config, weights), judging.model_dump(mode="json"))
    path = folder / "samples.jsonl"
    evaluate.generate_missing(path, tasks, lambda: load_engine(config, weights), config)

    async def judge() -> None:
        async with LocalSandbox.from_config(config.sandbox) as sandbox:
            await evaluate.judge_missing(path, tasks, config.eval.samples, sandbox, judging)

    asyncio.run(judge())
    found = read_samples(path)
    families = {task.id: task.family for task in tasks}
    samples = [found[key] for key in evaluate.wanted(tasks, config.eval.samples)]
    metrics = measure(config.eval.subject, samples, families, config.eval.pass_k)
    write_json(folder / "metrics.json", metrics.model_dump(mode="json"))
    return metrics


def show(metrics: Any, console: Console) -> None:
    """pass@k with its interval, and where the rejected samples stopped."""
    title = f"{metrics.model}: {len(metrics.tasks)} held-out tasks, {metrics.judged} samples judged"
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
    config = start(cfg, f"eval/{config.eval.subject}")
    metrics = run(config)
    show(metrics, Console())
    if not metrics.judged:
        print("Every verdict is Broken: the sandbox does not work on this machine.", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
