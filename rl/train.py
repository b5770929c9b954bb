"""The RL stage: TRL's `GRPOTrainer` with rewards from the sandbox, resumable, guarded.

Differs from TRL's defaults:
1. Starts from `<out>/sft/model` where that exists: RL without SFT mostly learns to hack.
2. `group_size` × `prompts_per_step` completions make one optimiser step, on however many processes.
3. The learning rate is constant: each step's data is new, there is nothing to anneal towards.
4. With vLLM, importance ratios are truncated a token at a time; TRL's default drops long samples whole.
"""

import os
import time
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import GRPOConfig, GRPOTrainer

from configs.errors import UsageError
from configs.lm_head import use_cpu_head
from configs.models import Device, load_model, load_tokenizer, resolve_device, weights_location
from configs.schema import Config
from configs.stages import checkpoint_step, finish, keep_steps, last_checkpoint
from configs.training import (
    GradientGuard,
    MetricsLog,
    NoLastCheckpoint,
    RichProgress,
    check_trained,
    only_our_progress,
    parameter_sample,
    save_model,
    share_changed,
    shared_arguments,
)
from data_pipeline.store import load_tasks
from data_pipeline.verify import Judging
from rewards.rollout import Rollout, read_rollouts, rollout_files
from rl.cpu import sample_in_bfloat16
from rl.prompts import build
from rl.reward import SandboxReward, SandboxThread, outcome
from sandbox.protocol import Sandbox

CURE = (
    "all groups had equal rewards, or the learning rate is too small; give partial credit (reward=default), "
    "run more SFT, raise rl.group_size or rl.learning_rate"
)
SHOWN_LINES = 24


def train(config: Config, sandbox: AbstractAsyncContextManager[Sandbox], console: Console) -> dict[str, Any]:
    """Run or resume the stage; returns (and writes) its summary.

    Raises:
        UsageError: the data stage has not run; too few prompts fit; or batches do not divide over the processes.
        SandboxBrokenError: the sandbox judged not one completion of a step.
        TrainingSanityError: no step had a gradient, it was not finite, or no parameter changed.
    """
    started = time.perf_counter()
    only_our_progress()
    folder = config.out_dir / "rl"
    checkpoint = last_checkpoint(folder)
    with SandboxThread(sandbox) as judges:
        trainer, before = build_trainer(config, judges, checkpoint, console)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    changed = share_changed(before, trainer.model)
    check_trained(trainer.state.log_history, changed, CURE)
    save_model(trainer, trainer.model, trainer.processing_class, folder / "model")
    summary = {
        "steps": trainer.state.global_step,
        "started_from": "sft" if start_weights(config) else "base",
        "resumed_from_step": checkpoint_step(checkpoint) if checkpoint else 0,
        "parameters_changed": changed,
        **logged_seconds(trainer.state.log_history),
        **rollout_summary(folder),
        "device": resolve_device(config.device),
        "seconds": time.perf_counter() - started,
    }
    if trainer.is_world_process_zero():
        finish(folder, summary)
    return summary


def build_trainer(
    config: Config, judges: SandboxThread, checkpoint: Path | None, console: Console
) -> tuple[GRPOTrainer, dict[str, torch.Tensor]]:
    """The trainer, and a sample of its first parameters. Rollouts later than `checkpoint` are dropped from the log."""
    folder = config.out_dir / "rl"
    device = resolve_device(config.device)
    tokenizer = load_tokenizer(config.model)
    prompts = build(
        load_tasks(config.out_dir / "data", "train"), tokenizer, config.rl.max_prompt_tokens, config.rl.prompts_per_step
    )
    weights = start_weights(config)
    if config.rl.engine == "vllm":
        weights_location(config.model, weights)  # says at once what vLLM could not load
    model = load_model(config.model, device, weights, trainable=True)
    console.print(
        f"GRPO on {len(prompts.tasks)} tasks ({prompts.dropped} dropped: prompt longer than "
        f"{config.rl.max_prompt_tokens} tokens), from {weights or f'the base model {config.model.name}'}"
        + (f", resuming from {checkpoint}" if checkpoint else "")
    )
    args = arguments(config, device, folder)
    log = rollout_log(folder, args.process_index)
    keep_steps(log, checkpoint_step(checkpoint) if checkpoint else 0)
    reward = SandboxReward(prompts.tasks, judges, Judging.from_config(config.sandbox), config.reward, log)
    if device == "cpu" and args.bf16:
        sample_in_bfloat16(model)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=args,
        train_dataset=prompts.dataset,
        processing_class=tokenizer,
        callbacks=[
            GradientGuard(every_step=False),
            NoLastCheckpoint(),
            MetricsLog(folder, checkpoint),
            RichProgress("GRPO", ("reward", "zero_variance_share", "grad_norm", "reward_wait_seconds"), console),
            ShowBest(reward, max(1, config.rl.max_steps // 10), console),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    if device == "cpu":
        use_cpu_head(trainer.model, config.rl.temperature)
    return trainer, parameter_sample(model)


def arguments(config: Config, device: Device, folder: Path) -> GRPOConfig:
    """TRL's arguments for this config.

    Raises:
        UsageError: the completions of a step do not divide over the processes in micro-batches.
    """
    rl = config.rl
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    completions = rl.group_size * rl.prompts_per_step
    if completions % (rl.micro_batch * processes):
        raise UsageError(
            f"rl.group_size times rl.prompts_per_step is {completions}, which must be a multiple of "
            f"rl.micro_batch={rl.micro_batch} times {processes} processes"
        )
    return GRPOConfig(
        **shared_arguments(config.model, device, folder),
        max_steps=rl.max_steps,
        num_generations=rl.group_size,
        per_device_train_batch_size=rl.micro_batch,
        gradient_accumulation_steps=completions // (rl.micro_batch * processes),
        learning_rate=rl.learning_rate,
        lr_scheduler_type="constant",
        max_completion_length=rl.max_completion_tokens,
        temperature=rl.temperature,
        beta=rl.beta,
        epsilon=rl.epsilon,
        epsilon_high=rl.epsilon_high,
        loss_type=rl.loss_type,
        scale_rewards=rl.scale_rewards,
        mask_truncated_completions=rl.mask_truncated,
        use_vllm=rl.engine == "vllm",
        vllm_mode="colocate",
        vllm_importance_sampling_mode="token_truncate",
        vllm_max_model_length=rl.max_prompt_tokens + rl.max_completion_tokens,
        gradient_checkpointing=rl.gradient_checkpointing,
        save_steps=rl.save_steps,
        seed=rl.seed,
    )


class ShowBest(TrainerCallback):
    """Prints the best completion of every `every`-th step, so that a person sees what is being learned."""

    def __init__(self, reward: SandboxReward, every: int, console: Console) -> None:
        self.reward = reward
        self.every = every
        self.console = console

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        scored = [rollout for rollout in self.reward.latest if rollout.reward is not None]
        if not state.is_world_process_zero or not scored or (state.global_step - 1) % self.every:
            return
        best = max(scored, key=lambda rollout: rollout.reward or 0.0)
        lines = best.completion.splitlines()
        text = "\n".join(lines[:SHOWN_LINES] + (["…"] if len(lines) > SHOWN_LINES else []))
        title = f"step {state.global_step}, task {best.task_id}: reward {best.reward:.2f} ({outcome(best)})"
        self.console.print(Panel(Syntax(text, "markdown", word_wrap=True), title=title))


def start_weights(config: Config) -> Path | None:
    """`<out>/sft/model` where SFT has finished, else None: the base model."""
    folder = config.out_dir / "sft" / "model"
    return folder if (folder / "config.json").exists() else None


def rollout_log(folder: Path, rank: int) -> Path:
    """The log of one process: several never write to one file, which a network file system would garble."""
    return folder / ("rollouts.jsonl" if rank == 0 else f"rollouts-rank{rank}.jsonl")


def logged_seconds(history: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of all steps, resumed ones included, and how many of them the trainer waited for verdicts."""
    wait = sum(entry["reward_wait_seconds"] for entry in history if "reward_wait_seconds" in entry)
    steps = sum(entry["step_time"] for entry in history if "step_time" in entry)
    return {"step_seconds": steps, "reward_wait_seconds": wait}


def rollout_summary(folder: Path) -> dict[str, Any]:
    """What the rollouts of all ranks add up to; means are over scorable rollouts, None where a step has none."""
    rollouts: list[Rollout] = [rollout for path in rollout_files(folder) for rollout in read_rollouts(path)]
    kinds = Counter(outcome(rollout) for rollout in rollouts)
    by_step: dict[int, list[float]] = {}
    for rollout in rollouts:
        rewards = by_step.setdefault(rollout.step, [])
        if rollout.reward is not None:
            rewards.append(rollout.reward)
    return {
        "rollouts": len(rollouts),
        "passed": kinds.pop("passed", 0),
        "broken": kinds.pop("broken", 0),
        "rejected": dict(sorted(kinds.items())),
        "reward_mean": [fmean(by_step[step]) if by_step[step] else None for step in sorted(by_step)],
    }
