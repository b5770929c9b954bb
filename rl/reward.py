"""Completions → verdicts → rewards, for TRL; every rollout is kept.

Differs from the usual reward function:
1. `Broken` (our fault) is `None`: TRL then leaves the completion out of its group's mean and out of the loss.
   A step in which everything is broken ends the run: it would burn GPU hours on nothing.
2. The sandbox lives in an event loop of its own, so that it starts before the trainer and ends after it.
3. Identical completions of one task are judged once.
4. The time that the trainer waits for verdicts is a metric.
"""

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import fmean, pstdev
from types import TracebackType
from typing import Any, Self, TypeVar, get_args

from transformers import TrainerState

from configs.errors import UsageError
from configs.schema import RewardConfig
from data_pipeline.task import Message, Task
from data_pipeline.verify import Judging, verify
from rewards.rollout import Rollout
from rewards.score import score
from sandbox.protocol import Sandbox
from sandbox.types import Broken, Passed, Rejected, Stage

Result = TypeVar("Result")


class SandboxBrokenError(UsageError):
    """Not one completion of a step could be judged."""


class SandboxThread:
    """A thread with an event loop in which a sandbox is open; other loops await its answers through `run`."""

    def __init__(self, sandbox: AbstractAsyncContextManager[Sandbox]) -> None:
        self._context = sandbox
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.sandbox = asyncio.run_coroutine_threadsafe(self._context.__aenter__(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._context.__aexit__(kind, error, trace), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run in the sandbox's loop, await from any other."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))


class SandboxReward:
    """TRL's async reward function."""

    def __init__(
        self, tasks: dict[str, Task], sandbox: SandboxThread, judging: Judging, config: RewardConfig, log: Path
    ) -> None:
        self.tasks = tasks
        self.sandbox = sandbox
        self.judging = judging
        self.config = config
        self.log = log
        self.latest: list[Rollout] = []
        """Rollouts of the latest step, for showing."""

    async def __call__(
        self,
        completions: list[list[Message]],
        task_id: list[str],
        trainer_state: TrainerState,
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        """One reward a completion, None where the sandbox failed.

        Raises:
            SandboxBrokenError: no completion of the step could be judged.
        """
        started = time.perf_counter()
        texts = [messages[-1]["content"] for messages in completions]
        verdicts = await self.sandbox.run(self._judge(list(zip(task_id, texts, strict=True))))
        self.latest = [
            Rollout(
                step=trainer_state.global_step,
                task_id=name,
                completion=text,
                verdict=verdict,
                reward=score(verdict, self.config),
            )
            for name, text, verdict in zip(task_id, texts, verdicts, strict=True)
        ]
        append(self.log, self.latest)
        metrics = step_metrics(self.latest) | {"reward_wait_seconds": time.perf_counter() - started}
        for name, value in metrics.items():
            log_metric(name, value)
        broken = [verdict.reason for verdict in verdicts if isinstance(verdict, Broken)]
        if len(broken) == len(verdicts):
            raise SandboxBrokenError(f"the sandbox failed on all {len(broken)} completions, first with: {broken[0]}")
        return [rollout.reward for rollout in self.latest]

    async def _judge(self, questions: list[tuple[str, str]]) -> list[Passed | Rejected | Broken]:
        unique = list(dict.fromkeys(questions))
        verdicts = await asyncio.gather(
            *(verify(self.tasks[name], text, self.sandbox.sandbox, self.judging) for name, text in unique)
        )
        answers = dict(zip(unique, verdicts, strict=True))
        return [answers[question] for question in questions]


def append(path: Path, rollouts: list[Rollout]) -> None:
    """Append whole lines and force them to disk."""
    with path.open("a") as file:
        file.write("".join(rollout.model_dump_json() + "\n" for rollout in rollouts))
        file.flush()
        os.fsync(file.fileno())


def step_metrics(rollouts: list[Rollout]) -> dict[str, float]:
    """Metrics of one step on one rank: counts by outcome, spread of rewards within groups (TRL logs their mean).

    A group is a run of rollouts of one task. Its spread is the population standard deviation of its rewards; a group
    with fewer than two rewards counts as one without variance, because it teaches nothing either.
    """
    kinds = Counter(outcome(rollout) for rollout in rollouts)
    metrics: dict[str, float] = {f"rejected/{stage}": kinds[stage] for stage in get_args(Stage)}
    metrics |= {"passed": kinds["passed"], "broken": kinds["broken"]}
    spreads = [pstdev(group) if len(group) > 1 else 0.0 for group in groups(rollouts)]
    return metrics | {
        "group_std": fmean(spreads),
        "zero_variance_share": sum(spread == 0 for spread in spreads) / len(spreads),
    }


def groups(rollouts: list[Rollout]) -> list[list[float]]:
    """Rewards of each task, without those of `Broken`, in order of appearance."""
    found: dict[str, list[float]] = {}
    for rollout in rollouts:
        group = found.setdefault(rollout.task_id, [])
        if rollout.reward is not None:
            group.append(rollout.reward)
    return list(found.values())


def outcome(rollout: Rollout) -> str:
    """`passed`, `broken`, or the stage of the rejection."""
    return rollout.verdict.stage if isinstance(rollout.verdict, Rejected) else rollout.verdict.kind
