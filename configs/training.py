"""What SFT and RL share around a TRL trainer: arguments, metrics, progress, and the guard against training nothing.

Differs from the trainers' own: logs are JSON lines plus TensorBoard that survive a resume without doubled steps, and
a job whose optimiser does nothing ends with an error (a published speed record was set with zero gradients).
"""

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import PartialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils.logging import disable_progress_bar

from configs.errors import UsageError
from configs.models import Device, mixed_precision
from configs.schema import ModelConfig
from configs.stages import checkpoint_step, keep_steps

SAMPLED_TENSORS = 64
SAMPLED_ELEMENTS = 4096
"""Elements compared of each sampled tensor, evenly spaced."""


class TrainingSanityError(UsageError):
    """Training ran but did not train; the message names the cure."""


def only_our_progress() -> None:
    """Switch off the progress bars of `datasets` and `transformers`: there is one bar a stage, ours."""
    datasets.disable_progress_bars()
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped


def shared_arguments(model: ModelConfig, device: Device, folder: Path) -> dict[str, Any]:
    """Trainer arguments that are the same for SFT and GRPO.

    bf16 is set on purpose: TRL switches it on where nothing is said. It is autocast only; weights stay as loaded.
    """
    return {
        "output_dir": str(folder / "checkpoints"),
        "use_cpu": device == "cpu",
        "bf16": mixed_precision(model, device),
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_total_limit": 1,
        "dataloader_pin_memory": device == "cuda",
    }


def parameter_sample(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of evenly spaced elements of evenly spaced parameter tensors, on the CPU, by parameter name.

    Under DeepSpeed ZeRO-3 a parameter is empty and this rank's shard hangs on it as `ds_tensor`.
    """
    named = list(model.named_parameters())
    chosen = named[:: max(1, len(named) // SAMPLED_TENSORS)]
    return {name: _elements(parameter) for name, parameter in chosen}


def share_changed(before: dict[str, torch.Tensor], model: torch.nn.Module) -> float:
    """Share of the sampled tensors in which at least one sampled element differs now."""
    now = dict(model.named_parameters())
    return sum(not torch.equal(sample, _elements(now[name])) for name, sample in before.items()) / len(before)


def check_trained(history: list[dict[str, float]], changed: float, cure: str) -> None:
    """The guard's verdict at the end of a stage.

    Args:
        history: `trainer.state.log_history`, which survives a resume.
        changed: `share_changed` from the stage's first weights to its last.

    Raises:
        TrainingSanityError: no step had a gradient, or no parameter changed.
    """
    norms = [entry["grad_norm"] for entry in history if "grad_norm" in entry]
    if not any(norm > 0 for norm in norms):
        raise TrainingSanityError(f"none of {len(norms)} steps had a gradient, so nothing was learned: {cure}")
    if changed == 0:
        raise TrainingSanityError(f"gradients, but not one parameter changed: {cure}")


class GradientGuard(TrainerCallback):
    """Stops a run whose gradient is not finite, or (where every step must have one) zero."""

    def __init__(self, every_step: bool) -> None:
        self.every_step = every_step

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        norm = logs.get("grad_norm")
        if norm is None:
            return
        if not math.isfinite(norm):
            raise TrainingSanityError(
                f"step {state.global_step}: the gradient norm is {norm}; lower learning_rate={args.learning_rate}"
            )
        if self.every_step and norm == 0:
            raise TrainingSanityError(
                f"step {state.global_step}: the gradient is zero; no token may be in the loss (does the chat template "
                "mark the assistant with {% generation %}?) or all parameters are frozen"
            )


class NoLastCheckpoint(TrainerCallback):
    """Leaves the last step without a checkpoint, which the finished model replaces at once.

    A run that is resumed from a checkpoint of its last step would train one step more than it was asked for.
    """

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_save = False


class MetricsLog(TrainerCallback):
    """Every log entry as a line of `metrics.jsonl` and as TensorBoard scalars; rank 0 only.

    Values that are not finite become null: JSON has no NaN.
    """

    def __init__(self, folder: Path, checkpoint: Path | None) -> None:
        self.path = folder / "metrics.jsonl"
        self.tensorboard = folder / "tensorboard"
        self.first_step = checkpoint_step(checkpoint) + 1 if checkpoint else 0
        self.writer: SummaryWriter | None = None
        self.started = time.perf_counter()
        if PartialState().is_main_process:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            keep_steps(self.path, self.first_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if not state.is_world_process_zero:
            return
        finite = {key: value if _finite(value) else None for key, value in logs.items()}
        entry = {"step": state.global_step, "elapsed_seconds": time.perf_counter() - self.started, **finite}
        with self.path.open("a") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")
        if self.writer is None:
            self.writer = SummaryWriter(str(self.tensorboard), purge_step=self.first_step)
        for key, value in finite.items():
            if isinstance(value, int | float):
                self.writer.add_scalar(key, value, state.global_step)
        self.writer.flush()


class RichProgress(TrainerCallback):
    """A progress bar on a terminal; elsewhere a line a log entry. Rank 0 only."""

    def __init__(self, title: str, shown: tuple[str, ...], console: Console) -> None:
        self.shown = shown
        self.console = console
        self.title = title
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=console,
        )

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero and self.console.is_terminal:
            self.task = self.bar.add_task(self.title, total=state.max_steps, completed=state.global_step, metrics="")
            self.bar.start()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.bar.live.is_started:
            self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        metrics = "  ".join(f"{key} {logs[key]:.4g}" for key in self.shown if _finite(logs.get(key)))
        if self.bar.live.is_started:
            self.bar.update(self.task, metrics=metrics)
        elif state.is_world_process_zero and metrics:
            self.console.print(f"{self.title} {state.global_step}/{state.max_steps}  {metrics}", highlight=False)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.bar.stop()


def save_model(trainer: Trainer, final: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the trained model with its tokenizer; `folder` appears only when it is whole.

    `final` is what to save where it is no longer the trainer's own model (merged adapters).
    """
    temporary = folder.with_name(f".{folder.name}.partial")
    if final is trainer.model:
        trainer.save_model(str(temporary))  # gathers the shards of DeepSpeed and FSDP
    elif trainer.is_world_process_zero():
        final.save_pretrained(temporary)
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(temporary)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    trainer.accelerator.wait_for_everyone()


def _elements(parameter: torch.Tensor) -> torch.Tensor:
    shard = parameter.ds_tensor if hasattr(parameter, "ds_tensor") else parameter
    flat = shard.detach().flatten()
    return flat[:: max(1, flat.numel() // SAMPLED_ELEMENTS)].to("cpu", torch.float32, copy=True)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
