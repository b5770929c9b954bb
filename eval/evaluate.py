"""One evaluation as steps that each resume: keep what is still valid, generate what is missing, judge what is missing.

Kept samples are valid only for the same weights, sampling settings and prompt; kept verdicts only for the same
sandbox settings. `origin.json` beside the samples says what they were made with. Broken verdicts are judged again.
"""

import asyncio
import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from configs.errors import UsageError
from configs.schema import Config
from configs.stages import digest
from configs.stamp import read_json, write_json
from data_pipeline.prompt import render_prompt
from data_pipeline.store import append_record, load_tasks
from data_pipeline.task import Message, Task
from data_pipeline.verify import Judging, verify
from eval.generate import Completion, Engine, release
from eval.samples import Key, Sample, Sampling, read_samples, write_samples
from sandbox.local import LocalSandbox
from sandbox.pool import ProcessDiedError
from sandbox.protocol import Sandbox
from sandbox.types import PROTOCOL_VERSION, Baseline, Broken, Job, Passed, Rejected, TimingRequest

logger = logging.getLogger(__name__)

SAVE_EVERY_BATCHES = {"transformers": 2, "vllm": 64, "openai": 8}
"""Batches of eval.batch_size that are generated between two writes to disk."""
GPU_SECONDS, GPU_ARENA_MIB = 30.0, 32768
"""Of one case of a benchmark. KernelBench has inputs and outputs of 16 GiB together, before any scratch."""


def heldout_tasks(folder: Path, limit: int) -> list[Task]:
    """The held-out tasks of `<out>/data`, at most `limit` (0: all), spread evenly over the families.

    Raises:
        UsageError: the data stage has not finished there.
        UsageError: there is no held-out task.
    """
    tasks = load_tasks(folder, "heldout")
    if not tasks:
        raise UsageError(f"{folder} has no held-out task; set data.heldout_families to families that it holds")
    return _round_robin(tasks)[: limit or None]


def prepare(folder: Path, origin: dict[str, Any], judging: dict[str, Any]) -> None:
    """Put aside samples made with another `origin`; drop verdicts made with other `judging` settings."""
    path, record = folder / "samples.jsonl", folder / "origin.json"
    before = read_json(record) if record.exists() else None
    now = {"generation": origin, "judging": judging | {"protocol": PROTOCOL_VERSION}}
    now = json.loads(json.dumps(now))
    if before and path.exists() and before["generation"] != now["generation"]:
        aside = path.with_name(f"samples-{_digest(json.dumps(before))}.jsonl")
        path.replace(aside)
        logger.warning("weights or sampling settings changed: kept the earlier samples as %s", aside)
    elif path.exists():
        samples = list(read_samples(path).values())
        if before and before["judging"] != now["judging"]:
            logger.warning("sandbox settings changed: all samples are judged again")
            samples = [sample.model_copy(update={"verdict": None}) for sample in samples]
        write_samples(path, samples)  # compacts, and removes a line cut off by a crash
    write_json(record, now)


def generate_missing(
    path: Path, tasks: Sequence[Task], engine: Callable[[], Engine], config: Config,
    messages: Mapping[str, list[Message]] = MappingProxyType({}),
) -> int:  # fmt: skip
    """Generate the samples that the file lacks and append them; returns their number.

    Args:
        engine: called only if there is something to do, so that a finished evaluation loads no weights.
        messages: prompts by task id; tasks that are not in it are posed in our own words.
    """
    settings = config.eval
    prompts = {task.id: messages.get(task.id) or render_prompt(task, None) for task in tasks}
    known = read_samples(path)
    missing = {
        task.id: [
            index
            for index in range(settings.samples)
            if (task.id, index) not in known or known[task.id, index].prompt != prompt_digest(prompts[task.id])
        ]
        for task in tasks
    }
    total = sum(map(len, missing.values()))
    if not total:
        return 0
    _keep_prompts(path.with_name("prompts.json"), prompts.values())
    rows = SAVE_EVERY_BATCHES[settings.engine] * settings.batch_size
    with _progress() as progress:
        bar = progress.add_task("loading the model", total=total)
        model = engine()
        progress.update(bar, description="generating")
        written = 0
        for ids in _chunks(missing, rows):
            indices = missing[ids[0]]
            # At temperature 0 all samples of a task are one; vLLM refuses to write it more than once.
            copies = 1 if settings.temperature else len(indices)
            answers = model.generate(
                [prompts[task] for task in ids],
                len(indices) // copies,
                settings.max_completion_tokens,
                settings.temperature,
                _seed(settings.seed, ids, indices),
                lambda n: progress.advance(bar, n),
            )
            for task, row in zip(ids, answers, strict=True):
                for index, answer in zip(indices, row * copies, strict=True):
                    append_record(path, _sample(task, index, prompts[task], answer, config))
            written += len(ids) * len(indices)
            progress.update(bar, completed=written)
    del model
    release()
    return total


class Alone:
    """The sandbox for one job at a time, each with all of the GPU's memory: problems that failed beside others."""

    def __init__(self, sandbox: LocalSandbox) -> None:
        self.sandbox, self.turn = sandbox, asyncio.Lock()

    async def run(self, job: Job) -> Passed | Rejected | Broken:
        async with self.turn:
            try:
                await asyncio.to_thread(self.sandbox.trim)
            except ProcessDiedError as error:
                return Broken(reason=str(error)[:1000])
            return await self.sandbox.run(job)


async def judge_missing(path: Path, tasks: Sequence[Task], samples: int, sandbox: Sandbox, judging: Judging) -> int:
    """Judge the samples without a verdict or with a Broken one, appending each as it comes; returns their number."""
    by_id = {task.id: task for task in tasks}
    found = read_samples(path)
    todo = [
        found[key] for key in wanted(tasks, samples) if key in found and isinstance(found[key].verdict, Broken | None)
    ]
    if not todo:
        return 0
    with _progress() as progress:
        bar = progress.add_task("judging", total=len(todo))

        async def judge(sample: Sample) -> None:
            verdict = await verify(by_id[sample.task_id], sample.completion, sandbox, judging)
            append_record(path, sample.model_copy(update={"verdict": verdict}))
            progress.advance(bar)

        async with asyncio.TaskGroup() as group:
            for sample in todo:
                group.create_task(judge(sample))
    write_samples(path, read_samples(path).values())
    return len(todo)


def judging(config: Config) -> Judging:
    """As the sandbox's config says. A benchmark's answers are timed beside both of PyTorch's ways, TritonBench's beside
    its gold code as it is. The largest references need longer than tasks that are made to be judged by the thousand.
    """
    asked = Judging.from_config(config.sandbox)
    if config.eval.benchmark == "heldout":
        return asked
    limits = asked.limits.model_copy(update={"gpu_seconds": GPU_SECONDS, "gpu_arena_mib": GPU_ARENA_MIB})
    compiled: tuple[Baseline, ...] = () if config.eval.benchmark.startswith("tritonbench") else ("compile",)
    timing = asked.timing and TimingRequest(baselines=("eager", *compiled))
    return asked.model_copy(update={"limits": limits, "timing": timing})


def wanted(tasks: Sequence[Task], samples: int) -> list[Key]:
    """Keys of the samples that an evaluation of these tasks consists of."""
    return [(task.id, index) for task in tasks for index in range(samples)]


def generation_origin(config: Config, weights: Path | None) -> dict[str, Any]:
    """What a sample depends on besides its prompt. The number of samples and tasks is not in it: both may grow."""
    if config.eval.engine == "openai":
        source = config.eval.endpoint.model_dump(mode="json", include={"url", "model"})
    else:
        digests = weights_digest(weights) if weights else "untouched"
        source = {"model": config.model.model_dump(mode="json"), "weights": digests}
    return source | {
        "engine": config.eval.engine,
        **({} if config.eval.answers is None else {"answers": config.eval.answers}),
        "temperature": config.eval.temperature,
        "max_completion_tokens": config.eval.max_completion_tokens,
        "seed": config.eval.seed,
    }


def prompt_digest(prompt: list[Message]) -> str:
    return _digest(json.dumps(prompt))


def weights_digest(folder: Path) -> str:
    """Digest of all weight files of a checkpoint, by content.

    Raises:
        UsageError: the folder holds no *.safetensors.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UsageError(f"{folder} holds no *.safetensors; run the training stage to its end")
    return _digest(json.dumps([digest(file) for file in files]))


def _sample(task: str, index: int, prompt: list[Message], answer: Completion, config: Config) -> Sample:
    settings = config.eval
    return Sample(
        task_id=task,
        index=index,
        prompt=prompt_digest(prompt),
        completion=answer.text,
        truncated=answer.truncated,
        tokens=answer.tokens,
        sampling=Sampling(
            seed=answer.seed, temperature=settings.temperature, max_tokens=settings.max_completion_tokens
        ),
    )


def _keep_prompts(path: Path, prompts: Iterable[list[Message]]) -> None:
    """Add these to the text of all prompts, by digest."""
    known = read_json(path) if path.exists() else {}
    write_json(path, known | {prompt_digest(prompt): prompt for prompt in prompts})


def _chunks(missing: dict[str, list[int]], rows: int) -> list[list[str]]:
    """Tasks that lack the same indices, in groups of at most `rows` samples (at least one task)."""
    alike: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for task, indices in missing.items():
        if indices:
            alike[tuple(indices)].append(task)
    chunks = []
    for lacking, tasks in alike.items():
        size = max(1, rows // len(lacking))
        chunks += [tasks[start : start + size] for start in range(0, len(tasks), size)]
    return chunks


def _round_robin(tasks: list[Task]) -> list[Task]:
    """One task of each family in turn, so that a limit cuts all families alike."""
    turn: dict[str, int] = defaultdict(int)
    order = []
    for task in sorted(tasks, key=lambda task: task.id):
        order.append((turn[task.family], task.family, task))
        turn[task.family] += 1
    return [task for _, _, task in sorted(order, key=lambda entry: entry[:2])]


def _seed(seed: int, ids: Sequence[str], indices: Sequence[int]) -> int:
    """Another seed for each chunk, the same after a restart."""
    return int(_digest(json.dumps([seed, list(ids), list(indices)]))[:8], 16)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )
