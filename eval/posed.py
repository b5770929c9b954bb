"""Which tasks an evaluation poses: held-out ones of the data stage, or a benchmark's."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rich.console import Console

from configs.errors import UsageError
from configs.schema import Config
from data_pipeline.contamination import BenchmarkMissingError
from data_pipeline.probe import Prober, Quality
from data_pipeline.task import Message, Task
from eval.benchmarks import suite
from eval.benchmarks.answers import Answers, golds, read_answers, read_run
from eval.benchmarks.item import Item
from eval.benchmarks.kernelbench import items as kernelbench
from eval.benchmarks.scores import Score, scores
from eval.benchmarks.tritonbench import items as tritonbench
from eval.benchmarks.tritonbench.items import Half, TritonBenchItem
from eval.benchmarks.tritonbench.task import record, task_of
from eval.evaluate import heldout_tasks
from eval.samples import Sample, read_samples, write_samples
from sandbox.bench.report import progress
from sandbox.gpu_pool import visible_gpus
from sandbox.local import cores

logger = logging.getLogger(__name__)

HALVES: dict[str, Half] = {"tritonbench_g": "G", "tritonbench_t": "T"}
UNANSWERED = "no file answers it"
"""Counts as wrong; whatever else is left out counts for nothing."""


class Posed(NamedTuple):
    """What is to be answered and judged."""

    tasks: list[Task]
    groups: dict[str, str]
    """By task id: what results are broken down by, the family or the benchmark's level."""
    left_out: dict[str, str]
    """By task id: why a benchmark's item is not posed."""
    items: Sequence[Item]
    """All of the benchmark's; [] for held-out tasks."""
    answers: Answers | None = None
    """What files say; None: a model is asked."""
    messages: Mapping[str, list[Message]] = MappingProxyType({})
    """Prompts of tasks that are not posed in our own words, by task id."""

    def scores(self, samples: list[Sample], pass_k: Sequence[int]) -> dict[str, Score]:
        """The benchmark's own scores; {} for held-out tasks."""
        unanswered = [task for task, reason in self.left_out.items() if reason == UNANSWERED]
        return scores(self.items, samples, unanswered, pass_k)


def posed(config: Config) -> Posed:
    """The tasks that `config.eval` names.

    Of KernelBench, an item is left out where its reference needs a model from the hub, where `engine=files` has no
    answer to it, and, without a GPU, where `data_pipeline.quality` finds that its reference does not fit the CPU budget
    or that a cheap answer would pass. At upstream's sizes few items fit. Of TritonBench, an item is left out where
    nothing that its test calls can be posed anew; `recordings.jsonl` beside the evaluations keeps what was found.

    Raises:
        UsageError: as `heldout_tasks`; a clone or a run folder is missing; or nothing is left.
    """
    settings = config.eval
    if settings.benchmark == "heldout":
        tasks = heldout_tasks(config.out_dir / "data", settings.tasks)
        return Posed(tasks, {task.id: task.family for task in tasks}, {}, [])
    if settings.benchmark == "suite":
        return _suite(config)
    if settings.benchmark in HALVES:
        return _tritonbench(config, HALVES[settings.benchmark])
    return _kernelbench(config)


def take_answers(path: Path, answers: Answers, tasks: list[Task]) -> int:
    """Put the answers to `tasks` into the file of samples; returns the number of samples of the largest task.

    A verdict stays with a sample that has not changed.
    """
    wanted = {task.id for task in tasks}
    known = read_samples(path)
    samples = []
    for sample in answers.samples:
        if sample.task_id in wanted:
            before = known.get(sample.key)
            same = before is not None and before.completion == sample.completion
            samples.append(before if before is not None and same else sample)
    write_samples(path, samples)
    if answers.unmatched:
        logger.warning("%d files answer no item: %s", len(answers.unmatched), ", ".join(answers.unmatched[:10]))
    return 1 + max(sample.index for sample in samples)


def _on_gpu(config: Config) -> bool:
    return config.sandbox.gpus != 0 and bool(visible_gpus())


def _kernelbench(config: Config) -> Posed:
    settings = config.eval
    items = kernelbench.load(settings.root)
    answers = None if settings.answers is None else read_run(Path(settings.answers), items)
    items = items[: settings.tasks or None]
    answered = None if answers is None else {sample.task_id for sample in answers.samples}
    left_out = {item.id: item.needs() for item in items if item.needs()}
    if answered is not None:
        left_out = {item.id: UNANSWERED for item in items if item.id not in answered} | left_out
    tasks = [item.task for item in items if item.id not in left_out]
    if not _on_gpu(config):
        left_out |= _unfit(tasks, config.sandbox.workers or cores())
    tasks = [task for task in tasks if task.id not in left_out]
    if not tasks:
        reasons = "; ".join(f"{task}: {reason}" for task, reason in list(left_out.items())[:3])
        raise UsageError(
            f"no item of KernelBench can be posed here, for example {reasons}; a GPU (sandbox.gpus=-1) helps"
        )
    if left_out:
        logger.warning("%d of %d items of KernelBench are left out; left_out.json says why", len(left_out), len(items))
    return Posed(tasks, {item.id: f"level{item.level}" for item in items}, left_out, items, answers)


def _tritonbench(config: Config, half: Half) -> Posed:
    settings = config.eval
    if settings.root is None:
        raise BenchmarkMissingError(f"eval.root must be a clone of TritonBench: git clone {tritonbench.ADDRESS}")
    items = tritonbench.load(Path(settings.root), half)
    answers = None if settings.answers is None else _tritonbench_answers(settings.answers, items)
    items = items[: settings.tasks or None]
    answered = {item.id for item in items} if answers is None else {sample.task_id for sample in answers.samples}
    path = config.out_dir / "eval" / settings.benchmark / "recordings.jsonl"
    found = record(items, path, config.sandbox.workers or cores(), _on_gpu(config))
    tasks: list[Task] = []
    left_out = {}
    for item in items:
        recording = found[item.id]
        if isinstance(recording, str):
            left_out[item.id] = recording
        elif item.id not in answered:
            left_out[item.id] = UNANSWERED
        else:
            tasks.append(task_of(item, recording))
    if not tasks:
        raise UsageError(f"no item of TritonBench-{half} is posed: {next(iter(left_out.values()), 'there is none')}")
    logger.warning("%d of %d items of TritonBench-%s are posed", len(tasks), len(items), half)
    groups, messages = {item.id: f"level{item.level}" for item in items}, {item.id: item.messages() for item in items}
    return Posed(tasks, groups, left_out, items, answers, messages)


def _tritonbench_answers(named: str, items: Sequence[TritonBenchItem]) -> Answers:
    return golds(items) if named == "golds" else read_answers(Path(named), items)


def _suite(config: Config) -> Posed:
    settings = config.eval
    items = suite.load("gpu" if _on_gpu(config) else "cpu")
    answers = None if settings.answers is None else suite.read_folder(Path(settings.answers), items)
    items = items[: settings.tasks or None]
    answered = {item.id for item in items} if answers is None else {sample.task_id for sample in answers.samples}
    tasks = [item.task for item in items if item.id in answered]
    left_out = {item.id: UNANSWERED for item in items if item.id not in answered}
    return Posed(tasks, {task.id: task.family for task in tasks}, left_out, items, answers)


def _unfit(tasks: list[Task], workers: int) -> dict[str, str]:
    with Prober(workers) as probe, progress(Console(stderr=True)) as bars:
        bar = bars.add_task("examining references", total=len(tasks))

        async def examine(task: Task) -> Quality:
            [quality] = await probe([task])
            bars.advance(bar)
            return quality

        async def examine_all() -> list[Quality]:
            return await asyncio.gather(*map(examine, tasks))

        found = asyncio.run(examine_all())
    return {quality.task_id: quality.reason for quality in found if quality.reason is not None}
