"""`python -m sft [experiment=NAME] [key=value …]`: fine-tune on the verified pairs of the data stage.

Started again, a finished stage is skipped and an interrupted one goes on from its last checkpoint.
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
    """What decides the result of this stage."""
    return {
        "model": config.model.model_dump(mode="json"),
        "sft": config.sft.model_dump(mode="json"),
        "data": {"tasks.parquet": digest(config.out_dir / "data" / "tasks.parquet")},
    }


def show(summary: dict[str, Any], console: Console) -> None:
    console.print(
        f"SFT: {summary['steps']} steps, held-out loss {summary['heldout_loss_before']:.3f} → "
        f"{summary['heldout_loss_after']:.3f}, {summary['parameters_changed']:.0%} of sampled tensors changed, "
        f"{summary['seconds']:.0f} s"
    )


def run(cfg: DictConfig) -> None:
    config = validate(cfg)
    console = Console()
    folder = config.out_dir / "sft"
    if config.sft.max_steps == 0:
        console.print("sft.max_steps=0: the stage is skipped")
        return
    if not (config.out_dir / "data" / "tasks.parquet").exists():
        raise UsageError(
            f"{config.out_dir / 'data'} holds no tasks; run python -m data_pipeline out={config.out} first"
        )
    summary = claim(folder, settings(config))
    if summary is not None:
        console.print(f"{folder} is finished already")
    else:
        start(cfg, "sft")
        from sft.train import train

        summary = train(config, console)
    show(summary, console)


@hydra.main(version_base=None, config_path="pkg://configs", config_name="config")
def main(cfg: DictConfig) -> None:
    with explained():
        run(cfg)


if __name__ == "__main__":
    main()
