"""The reward adapter: real extraction and scoring over a fake sandbox."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pipeline_data import PASSED, compose_config, write_data
from transformers import TrainerState

from data_pipeline.prompt import render_answer
from data_pipeline.store import load_pairs
from data_pipeline.task import Solution, Task
from data_pipeline.verify import Judging
from rewards.rollout import Rollout, read_rollouts
from rl.reward import SandboxBrokenError, SandboxReward, SandboxThread, step_metrics
from sandbox.types import Broken, Job, Passed, Rejected


class FakeSandbox:
    """Answers by a marker in the candidate; counts what it was asked and how many questions were open at once."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.open = 0
        self.most_open = 0
        self.closed = False

    async def __aenter__(self) -> "FakeSandbox":
        self.loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.closed = True

    async def run(self, job: Job) -> Passed | Rejected | Broken:
        assert asyncio.get_running_loop() is self.loop, "the sandbox must be used in the loop that opened it"
        self.jobs.append(job)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await asyncio.sleep(0.01)
        self.open -= 1
        if "# broken" in job.candidate:
            return Broken(reason="driver lost")
        if "# wrong" in job.candidate:
            return Rejected(stage="numerics", reason="off by one", cases_right=(1, 2))
        return PASSED


def ask(out: Path, sandbox: FakeSandbox, markers: list[str | None]) -> tuple[list[float | None], dict[str, float]]:
    """Rewards and metrics for completions of the first task: its solution plus a marker; None: no code at all."""
    task, solution = first_pair(out)
    texts = ["I do not know." if m is None else render_answer(solution.code + m) for m in markers]
    metrics: dict[str, float] = {}
    with SandboxThread(sandbox) as thread:
        reward = SandboxReward({task.id: task}, thread, Judging(), compose_config(out).reward, out / "rollouts.jsonl")
        rewards = asyncio.run(
            reward(
                completions=[[{"role": "assistant", "content": text}] for text in texts],
                task_id=[task.id] * len(texts),
                trainer_state=TrainerState(global_step=7),
                log_metric=metrics.__setitem__,
            )
        )
    return rewards, metrics


def first_pair(out: Path) -> tuple[Task, Solution]:
    write_data(out)
    return load_pairs(out / "data", "train")[0]


def test_verdicts_become_rewards_and_every_rollout_is_kept(tmp_path: Path) -> None:
    sandbox = FakeSandbox()
    rewards, metrics = ask(tmp_path, sandbox, ["", "# wrong", "# broken", None, ""])
    assert rewards == [1.0, 0.4, None, 0.0, 1.0]
    kept = list(read_rollouts(tmp_path / "rollouts.jsonl"))
    assert [rollout.reward for rollout in kept] == rewards and {rollout.step for rollout in kept} == {7}
    assert kept[3].verdict == Rejected.model_validate(kept[3].verdict) and kept[3].verdict.stage == "extract"
    assert kept[2].verdict == Broken(reason="driver lost")
    assert (metrics["passed"], metrics["rejected/numerics"], metrics["rejected/extract"], metrics["broken"]) == (
        2,
        1,
        1,
        1,
    )
    assert metrics["reward_wait_seconds"] > 0.01
    assert sandbox.closed


def test_verdicts_run_together_and_equal_completions_are_judged_once(tmp_path: Path) -> None:
    sandbox = FakeSandbox()
    rewards, _ = ask(tmp_path, sandbox, ["", "# a", "# b", "", "# a"])
    assert rewards == [1.0] * 5
    assert len(sandbox.jobs) == sandbox.most_open == 3


def test_a_step_in_which_all_is_broken_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(SandboxBrokenError, match="all 2 completions, first with: driver lost"):
        ask(tmp_path, FakeSandbox(), ["# broken", "# broken 2"])


def test_spread_within_groups_leaves_broken_out() -> None:
    def rollout(task_id: str, reward: float | None) -> Rollout:
        verdict = Broken(reason="b") if reward is None else PASSED
        return Rollout(step=0, task_id=task_id, completion="", verdict=verdict, reward=reward)

    metrics = step_metrics(
        [rollout("a", 0.0), rollout("a", 1.0), rollout("a", None), rollout("b", 1.0), rollout("b", None)]
    )
    assert metrics["group_std"] == 0.25
    assert metrics["zero_variance_share"] == 0.5
