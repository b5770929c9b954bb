"""`python -m rl [experiment=NAME] [key=value …]`: GRPO on the training tasks, rewarded by the sandbox.

Starts from `<out>/sft/model` where that exists. Started again, a finished stage is skipped and an interrupted one goes
on from its last checkpoint. Several GPUs: `accelerate launch -m rl …`.
"""

from typing import Any

import hydra
from omegaconf import DictConfig
from rich.console import Console

from configs.errors import UsageError, explained
from configs.main import start, validate
from configs.schema import Config
from configs.stages import claim, digest


def settings(config: Config) -> dict[str, Any]:
    """What decides the result of this stage; the number of sandbox workers does not."""
    return {
        "model": config.model.model_dump(mode="json"),
        "rl": config.rl.model_dump(mode="json"),
        "reward": config.reward.model_dump(mode="json"),
        "sandbox": config.sandbox.model_dump(mode="json", exclude={"workers"}),
        "data": {"tasks.parquet": digest(config.out_dir / "data" / "tasks.parquet")},
        "sft": digest(config.out_dir / "sft" / "summary.json"),
    }


def show(summary: dict[str, Any], console: Console) -> None:
    rejected = ", ".join(f"{stage} {count}" for stage, count in summary["rejected"].items()) or "none"
    rewards = [f"{reward:.3f}" for reward in summary["reward_mean"] if reward is not None]
    console.print(
        f"GRPO: {summary['steps']} steps from {summary['started_from']}, mean reward {rewards[0]} → {rewards[-1]}, "
        f"{summary['passed']} of {summary['rollouts']} rollouts passed, {summary['broken']} broken; "
        f"rejected: {rejected}; {summary['parameters_changed']:.0%} of sampled tensors changed; "
        f"waited {summary['reward_wait_seconds']:.1f} s of {summary['step_seconds']:.0f} s for verdicts"
    )


def run(cfg: DictConfig) -> None:
    config = validate(cfg)
    console = Console()
    folder = config.out_dir / "rl"
    if config.rl.max_steps == 0:
        console.print("rl.max_steps=0: the stage is skipped")
        return
    if not (config.out_dir / "data" / "tasks.parquet").exists():
        raise UsageError(
            f"{config.out_dir / 'data'} holds no tasks; run python -m data_pipeline out={config.out} first"
        )
    summary = claim(folder, settings(config))
    if summary is not None:
        console.print(f"{folder} is finished already")
    else:
        start(cfg, "rl")
        from rl.train import train
        from sandbox.local import LocalSandbox

        summary = train(config, LocalSandbox.from_config(config.sandbox), console)
    show(summary, console)


@hydra.main(version_base=None, config_path="pkg://configs", config_name="config")
def main(cfg: DictConfig) -> None:
    with explained():
        run(cfg)


if __name__ == "__main__":
    main()
