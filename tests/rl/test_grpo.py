"""The GRPO stage on a tiny model with synthetic verdicts: it trains, logs, resumes, and keeps `Broken` out of the loss.

A tiny random model never writes code, so `verify` is replaced; `test_reward.py` covers the way through the real one.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pipeline_data import PASSED, compose_config, write_data
from rich.console import Console
from test_reward import FakeSandbox

import rl.reward
from configs.models import load_model
from configs.training import TrainingSanityError
from data_pipeline.task import Task
from rewards.audit import audit
from rewards.rollout import Rollout, read_rollouts
from rl.cpu import sample_in_bfloat16
from rl.prompts import build
from rl.reward import SandboxThread
from rl.train import arguments, build_trainer, train
from sandbox.types import Broken, Passed, Rejected

SETTINGS = (
    "rl.max_steps=3",
    "rl.group_size=4",
    "rl.prompts_per_step=2",
    "rl.micro_batch=4",
    "rl.max_completion_tokens=8",
    "rl.learning_rate=1e-3",
    "rl.mask_truncated=false",
    "rl.save_steps=1",
)
VERDICTS: tuple[Passed | Rejected | Broken, ...] = (
    PASSED,
    Rejected(stage="screen", reason="r"),
    Rejected(stage="numerics", reason="r", cases_right=(1, 2)),
    Broken(reason="b"),
)


async def by_text(task: Task, completion: str, *_: Any) -> Passed | Rejected | Broken:
    return VERDICTS[hashlib.sha256(completion.encode()).digest()[0] % len(VERDICTS)]


@pytest.fixture(autouse=True)
def synthetic_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(rl.reward, "verify", by_text)


def run(out: Path) -> list[Rollout]:
    write_data(out)
    (out / "rl").mkdir()
    train(compose_config(out, *SETTINGS), FakeSandbox(), Console(quiet=True))
    return list(read_rollouts(out / "rl" / "rollouts.jsonl"))


def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path / "whole")
    assert [rollout.step for rollout in whole] == [0] * 8 + [1] * 8 + [2] * 8

    out = tmp_path / "halves"
    with monkeypatch.context() as patched:
        patched.setattr(rl.reward, "append", append_then_die)
        with pytest.raises(RuntimeError, match="power cut"):
            run(out)
    assert not (out / "rl" / "summary.json").exists()
    assert [rollout.step for rollout in read_rollouts(out / "rl" / "rollouts.jsonl")][-1] == 2
    config = compose_config(out, *SETTINGS)
    summary = train(config, FakeSandbox(), Console(quiet=True))
    halves = list(read_rollouts(out / "rl" / "rollouts.jsonl"))
    assert halves == whole, "same prompts, same completions, no step twice"
    check_summary(summary, whole)
    entries = [json.loads(line) for line in (out / "rl" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries if "grad_norm" in entry] == [1, 2, 3]
    trained = load_model(config.model, "cpu", out / "rl" / "model")
    again = load_model(config.model, "cpu", tmp_path / "whole" / "rl" / "model")
    first = load_model(config.model, "cpu")
    for a, b, c in zip(trained.parameters(), again.parameters(), first.parameters(), strict=True):
        torch.testing.assert_close(a, b)
        assert not torch.equal(a, c)
    (out / "rl" / "config.yaml").write_text(json.dumps({"reward": config.reward.model_dump(mode="json")}))
    assert audit(out / "rl").different == 0


def append_then_die(path: Path, rollouts: list[Rollout], append: Any = rl.reward.append) -> None:
    append(path, rollouts)
    if rollouts[0].step == 2:
        raise RuntimeError("power cut")


def check_summary(summary: dict[str, Any], rollouts: list[Rollout]) -> None:
    kinds = [rollout.verdict.kind for rollout in rollouts]
    assert (summary["steps"], summary["resumed_from_step"], summary["started_from"]) == (3, 2, "base")
    assert (summary["rollouts"], summary["passed"], summary["broken"]) == (
        24,
        kinds.count("passed"),
        kinds.count("broken"),
    )
    assert summary["broken"] > 0 and sum(summary["rejected"].values()) == kinds.count("rejected")
    for step, mean in enumerate(summary["reward_mean"]):
        rewards = [r.reward for r in rollouts if r.step == step and r.reward is not None]
        assert math.isclose(mean, sum(rewards) / len(rewards))
    assert summary["parameters_changed"] == 1.0 and summary["reward_wait_seconds"] > 0


def test_broken_has_no_advantage_and_no_part_in_the_mean_of_its_group(tmp_path: Path) -> None:
    write_data(tmp_path)
    (tmp_path / "rl").mkdir()
    config = compose_config(tmp_path, *SETTINGS, "rl.max_steps=1")
    with SandboxThread(FakeSandbox()) as judges:
        trainer, _ = build_trainer(config, judges, None, Console(quiet=True))
        trainer.train()
    rollouts = list(read_rollouts(tmp_path / "rl" / "rollouts.jsonl"))
    advantages = list(trainer._logs["advantages"])
    assert any(rollout.reward is None for rollout in rollouts)
    for start in range(0, len(rollouts), 4):
        group = rollouts[start : start + 4]
        rewards = [rollout.reward for rollout in group if rollout.reward is not None]
        mean = sum(rewards) / len(rewards)
        expected = [0.0 if rollout.reward is None else rollout.reward - mean for rollout in group]
        assert advantages[start : start + 4] == pytest.approx(expected, abs=1e-6)


def test_equal_rewards_in_every_group_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def always_passed(*_: Any) -> Passed:
        return PASSED

    monkeypatch.setattr(rl.reward, "verify", always_passed)
    write_data(tmp_path)
    (tmp_path / "rl").mkdir()
    with pytest.raises(TrainingSanityError, match=r"none of 1 steps had a gradient.*partial credit"):
        train(compose_config(tmp_path, *SETTINGS, "rl.max_steps=1"), FakeSandbox(), Console(quiet=True))
    assert not (tmp_path / "rl" / "summary.json").exists()


def test_batches_must_divide_over_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match=r"rl\.micro_batch=4 times 3 processes"):
        arguments(compose_config(tmp_path, *SETTINGS), "cpu", tmp_path)


def test_long_prompts_are_dropped_and_too_few_are_an_error(tmp_path: Path) -> None:
    from configs.models import chat_tokens, load_tokenizer
    from data_pipeline.prompt import render_prompt
    from data_pipeline.store import load_tasks

    write_data(tmp_path)
    config = compose_config(tmp_path)
    tokenizer, tasks = load_tokenizer(config.model), load_tasks(tmp_path / "data", "train")
    lengths = sorted(len(chat_tokens(tokenizer, render_prompt(task), to_answer=True)) for task in tasks)
    prompts = build(tasks, tokenizer, lengths[11], at_least=1)
    assert len(prompts.tasks) == prompts.dataset.num_rows == sum(length <= lengths[11] for length in lengths)
    assert prompts.dropped == len(tasks) - len(prompts.tasks) > 0
    with pytest.raises(ValueError, match=r"rl\.prompts_per_step=2 are needed"):
        build(tasks, tokenizer, lengths[0] - 1, at_least=2)


def test_the_bfloat16_sampler_follows_the_policy() -> None:
    policy = load_model(compose_config(Path("unused")).model, "cpu")
    prompt = torch.arange(5, 15).unsqueeze(0)
    options = {"attention_mask": torch.ones_like(prompt), "max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    sample_in_bfloat16(policy)
    before = policy.generate(prompt, **options)
    with torch.no_grad():
        policy.model.norm.weight.neg_()
    after = policy.generate(prompt, **options)
    assert before.shape == after.shape == (1, 14)
    assert not torch.equal(before, after), "new weights must reach the sampler"
    assert {parameter.dtype for parameter in policy.parameters()} == {torch.float32}
