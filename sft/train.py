"""The SFT stage: TRL's `SFTTrainer` with assistant-only loss, full or LoRA, resumable, guarded.

Differs from TRL's defaults:
1. The loss covers the assistant's tokens and its end-of-turn token only; prompts are not learned.
2. The loss on held-out conversations before and after decides whether the stage counts as training.
3. LoRA adapters are merged before saving, so that every later stage loads one kind of model.
"""

import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from rich.console import Console
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from configs.lm_head import use_cpu_head
from configs.models import Device, load_model, load_tokenizer, resolve_device
from configs.schema import Config, LoraConfig
from configs.stages import checkpoint_step, finish, last_checkpoint
from configs.stamp import read_json, write_json
from configs.training import (
    GradientGuard,
    MetricsLog,
    NoLastCheckpoint,
    RichProgress,
    TrainingSanityError,
    check_trained,
    only_our_progress,
    parameter_sample,
    save_model,
    share_changed,
    shared_arguments,
)
from data_pipeline.store import load_pairs
from data_pipeline.task import Message
from sft.data import Conversations, build

CURE = "check sft.learning_rate and that the chat template marks the assistant with {% generation %}"


def train(config: Config, console: Console) -> dict[str, Any]:
    """Run or resume the stage; returns (and writes) its summary.

    Raises:
        UsageError: the data stage has not run; too few conversations fit into `sft.max_length`.
        TrainingSanityError: the optimiser did nothing, diverged, or the held-out loss did not fall.
    """
    started = time.perf_counter()
    only_our_progress()
    folder = config.out_dir / "sft"
    device = resolve_device(config.device)
    tokenizer = load_tokenizer(config.model)
    rows = build(load_pairs(config.out_dir / "data", "train"), tokenizer, config.sft.max_length, config.sft.seed)
    console.print(
        f"SFT on {len(rows.training)} conversations, {len(rows.heldout)} held out, "
        f"{rows.dropped} dropped as longer than {config.sft.max_length} tokens"
    )
    model = load_model(config.model, device, trainable=config.sft.lora is None or device == "cpu")
    before = parameter_sample(model)
    checkpoint = last_checkpoint(folder)
    trainer = SFTTrainer(
        model=model,
        args=arguments(config, device, folder),
        train_dataset=_dataset(rows.training),
        eval_dataset=_dataset(rows.heldout),
        processing_class=tokenizer,
        peft_config=_peft(config.sft.lora),
        callbacks=[
            GradientGuard(every_step=True),
            NoLastCheckpoint(),
            MetricsLog(folder, checkpoint),
            RichProgress("SFT", ("loss", "grad_norm", "mean_token_accuracy"), console),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    if device == "cpu":
        use_cpu_head(trainer.model.get_base_model() if config.sft.lora else trainer.model)
    untrained = _untrained_loss(trainer, folder / "untrained.json")
    if checkpoint:
        console.print(f"resuming from {checkpoint}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trained = trainer.evaluate()["eval_loss"]
    final = trainer.model.merge_and_unload() if config.sft.lora else trainer.model
    changed = share_changed(before, final)
    check_trained(trainer.state.log_history, changed, CURE)
    if not trained < untrained:
        raise TrainingSanityError(f"held-out loss went from {untrained:.4f} to {trained:.4f}: {CURE}")
    save_model(trainer, final, tokenizer, folder / "model")
    summary = _summary(trainer, rows) | {
        "heldout_loss_before": untrained,
        "heldout_loss_after": trained,
        "parameters_changed": changed,
        "resumed_from_step": checkpoint_step(checkpoint) if checkpoint else 0,
        "device": device,
        "seconds": time.perf_counter() - started,
    }
    if trainer.is_world_process_zero():
        finish(folder, summary)
    return summary


def arguments(config: Config, device: Device, folder: Path) -> SFTConfig:
    """TRL's arguments for this config. Batch size and accumulation are per device, as in TRL."""
    sft = config.sft
    return SFTConfig(
        **shared_arguments(config.model, device, folder),
        max_steps=sft.max_steps,
        per_device_train_batch_size=sft.batch_size,
        per_device_eval_batch_size=sft.batch_size,
        gradient_accumulation_steps=sft.accumulation_steps,
        learning_rate=sft.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=int(sft.max_steps * sft.warmup_ratio),
        max_length=sft.max_length,
        packing=sft.packing,
        eval_packing=False,
        assistant_only_loss=True,
        use_liger_kernel=sft.liger,
        gradient_checkpointing=sft.gradient_checkpointing,
        save_steps=sft.save_steps,
        seed=sft.seed,
    )


def _dataset(conversations: list[list[Message]]) -> Dataset:
    return Dataset.from_list([{"messages": messages} for messages in conversations])


def _peft(lora: LoraConfig | None) -> Any:
    """PEFT's config for every linear layer of the transformer blocks; None for full fine-tuning."""
    if lora is None:
        return None
    import peft

    return peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _untrained_loss(trainer: SFTTrainer, path: Path) -> float:
    """Held-out loss of the first weights; remembered, because a resumed run no longer has them."""
    if not path.exists():
        loss = trainer.evaluate()["eval_loss"]
        if trainer.is_world_process_zero():
            write_json(path, {"heldout_loss": loss})
        return float(loss)
    return float(read_json(path)["heldout_loss"])


def _summary(trainer: SFTTrainer, rows: Conversations) -> dict[str, Any]:
    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    return {
        "steps": trainer.state.global_step,
        "conversations": len(rows.training),
        "conversations_heldout": len(rows.heldout),
        "conversations_dropped": rows.dropped,
        "train_loss_first": losses[0],
        "train_loss_last": losses[-1],
        "tokens": next(entry["num_tokens"] for entry in reversed(history) if "num_tokens" in entry),
    }
