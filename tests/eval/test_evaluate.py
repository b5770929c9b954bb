"""Resuming an evaluation: what is kept, what is generated again, what is judged again. A real (tiny, random) model."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from make_run import PASSED, make_task

from configs.main import validate
from configs.schema import Config
from data_pipeline.prompt import render_prompt
from data_pipeline.store import write_tasks
from data_pipeline.task import Solution
from data_pipeline.verify import Judging
from eval import evaluate
from eval.__main__ import checkpoint
from eval.generate import Completion, Engine, load_engine
from eval.samples import Sampling, read_samples, write_samples
from sandbox.types import Broken, Job, Passed, Rejected

TASKS = [make_task(n, "softmax", "heldout") for n in range(3)]
CODE = "import triton\n\n\n@triton.jit\ndef k(): ...\n\n\ndef {name}(x): ...\n"


def config_of(out: Path, *overrides: str) -> Config:
    with initialize_config_module(version_base=None, config_module="configs"):
        cfg = compose(
            "config",
            [
                f"out={out}",
                "model=tiny",
                "device=cpu",
                "eval.samples=2",
                "eval.pass_k=[1,2]",
                "eval.max_completion_tokens=8",
                "eval.batch_size=2",
                *overrides,
            ],
        )
    return validate(cfg)


class CountingEngine:
    """Passes on to an engine and remembers how many samples it was asked for; can fail after some calls."""

    def __init__(self, engine: Engine, fail_after: int = 1000) -> None:
        self.engine, self.asked, self.calls, self.fail_after = engine, 0, 0, fail_after

    def generate(self, prompts, samples, max_tokens, temperature, seed, advance=None) -> list[list[Completion]]:
        if self.calls == self.fail_after:
            raise KeyboardInterrupt
        self.calls += 1
        self.asked += len(prompts) * samples
        return self.engine.generate(prompts, samples, max_tokens, temperature, seed, advance)


class ScriptedSandbox:
    """Gives out verdicts in turn and keeps the jobs."""

    def __init__(self, *verdicts: Passed | Rejected | Broken) -> None:
        self.verdicts: Iterator[Passed | Rejected | Broken] = iter(verdicts)
        self.jobs: list[Job] = []

    async def run(self, job: Job) -> Passed | Rejected | Broken:
        self.jobs.append(job)
        return next(self.verdicts)


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Engine:
    return load_engine(config_of(tmp_path_factory.mktemp("engine")), None)


def test_generation_goes_on_where_it_stopped(tmp_path, engine):
    config, path = config_of(tmp_path), tmp_path / "samples.jsonl"
    counting = CountingEngine(engine, fail_after=1)
    with pytest.raises(KeyboardInterrupt):
        evaluate.generate_missing(path, TASKS, lambda: counting, config)
    first = read_samples(path)
    assert len(first) == 4, "two batches of two were on disk before the interruption"
    counting = CountingEngine(engine)
    assert evaluate.generate_missing(path, TASKS, lambda: counting, config) == 2
    assert counting.asked == 2
    assert first.items() <= read_samples(path).items()
    prompts = json.loads((tmp_path / "prompts.json").read_text())
    for sample in read_samples(path).values():
        assert sample.sampling == Sampling(seed=sample.sampling.seed, temperature=0.8, max_tokens=8)
        assert prompts[sample.prompt] == render_prompt(next(t for t in TASKS if t.id == sample.task_id), None)
    assert set(read_samples(path)) == set(evaluate.wanted(TASKS, 2))

    def no_model() -> Engine:
        raise AssertionError("a finished evaluation must not load a model")

    assert evaluate.generate_missing(path, TASKS, no_model, config) == 0


def test_interrupted_and_straight_runs_give_the_same_samples(tmp_path, engine):
    config = config_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        evaluate.generate_missing(tmp_path / "a", TASKS, lambda: CountingEngine(engine, 1), config)
    evaluate.generate_missing(tmp_path / "a", TASKS, lambda: engine, config)
    evaluate.generate_missing(tmp_path / "b", TASKS, lambda: engine, config)
    assert read_samples(tmp_path / "a") == read_samples(tmp_path / "b")


def test_at_temperature_0_an_engine_is_asked_once_a_task(tmp_path, engine):
    """vLLM refuses several greedy samples of one prompt."""
    config, path = config_of(tmp_path, "eval.samples=3", "eval.temperature=0"), tmp_path / "samples.jsonl"
    counting = CountingEngine(engine)
    assert evaluate.generate_missing(path, TASKS, lambda: counting, config) == 9
    found = read_samples(path)
    assert counting.asked == len(TASKS) and set(found) == set(evaluate.wanted(TASKS, 3))
    for task in TASKS:
        (greedy,) = engine.generate([render_prompt(task, None)], 1, 8, 0, 1)[0]
        assert {found[task.id, index].completion for index in range(3)} == {greedy.text}
    assert {sample.sampling.temperature for sample in found.values()} == {0}


def test_more_samples_keep_the_old_ones(tmp_path, engine):
    path = tmp_path / "samples.jsonl"
    evaluate.generate_missing(path, TASKS, lambda: engine, config_of(tmp_path))
    before = read_samples(path)
    evaluate.generate_missing(path, TASKS, lambda: engine, config_of(tmp_path, "eval.samples=3"))
    assert before.items() <= read_samples(path).items()
    assert len(read_samples(path)) == 9


def test_another_prompt_makes_a_sample_stale(tmp_path, engine):
    config, path = config_of(tmp_path), tmp_path / "samples.jsonl"
    evaluate.generate_missing(path, TASKS, lambda: engine, config)
    changed = [TASKS[0].model_copy(update={"description": "Something else."}), *TASKS[1:]]
    assert evaluate.generate_missing(path, changed, lambda: engine, config) == 2


def test_only_missing_and_broken_verdicts_are_judged(tmp_path, engine):
    config, path = config_of(tmp_path), tmp_path / "samples.jsonl"
    evaluate.generate_missing(path, TASKS, lambda: engine, config)
    _answer_with_code(path)
    wrong, ours = Rejected(stage="numerics", reason="wrong"), Broken(reason="worker lost")
    sandbox = ScriptedSandbox(PASSED, wrong, ours, PASSED, ours, wrong)
    judging = Judging.from_config(config.sandbox)
    assert asyncio.run(evaluate.judge_missing(path, TASKS, 2, sandbox, judging)) == 6
    assert len(sandbox.jobs) == 6
    again = ScriptedSandbox(PASSED, PASSED)
    assert asyncio.run(evaluate.judge_missing(path, TASKS, 2, again, judging)) == 2
    verdicts = [sample.verdict.kind for sample in read_samples(path).values()]
    assert sorted(verdicts) == ["passed"] * 4 + ["rejected"] * 2
    assert asyncio.run(evaluate.judge_missing(path, TASKS, 2, ScriptedSandbox(), judging)) == 0
    assert len(path.read_text().splitlines()) == 6, "the file is compacted"


def test_what_broke_beside_others_gets_a_gpu_of_its_own(tmp_path, engine):
    class Tight(ScriptedSandbox):
        """Has memory for one job, and only after it was asked to tidy up."""

        held = False

        def trim(self) -> None:
            self.held = False

        async def run(self, job: Job) -> Passed | Rejected | Broken:
            if self.held:
                return Broken(reason="CUDA out of memory")
            self.held = True
            await asyncio.sleep(0)
            return await super().run(job)

    config, path = config_of(tmp_path), tmp_path / "samples.jsonl"
    evaluate.generate_missing(path, TASKS, lambda: engine, config)
    _answer_with_code(path)
    sandbox, judging = Tight(*[PASSED] * 6), Judging.from_config(config.sandbox)
    assert asyncio.run(evaluate.judge_missing(path, TASKS, 2, sandbox, judging)) == 6
    assert asyncio.run(evaluate.judge_missing(path, TASKS, 2, evaluate.Alone(sandbox), judging)) == 5
    assert [sample.verdict for sample in read_samples(path).values()] == [PASSED] * 6


def test_answers_without_code_never_reach_the_sandbox(tmp_path, engine):
    config, path = config_of(tmp_path), tmp_path / "samples.jsonl"
    evaluate.generate_missing(path, TASKS, lambda: engine, config)
    sandbox = ScriptedSandbox()
    asyncio.run(evaluate.judge_missing(path, TASKS, 2, sandbox, Judging.from_config(config.sandbox)))
    assert {sample.verdict.stage for sample in read_samples(path).values()} == {"extract"}
    assert not sandbox.jobs


def test_other_weights_put_samples_aside_and_other_limits_only_verdicts(tmp_path, engine):
    config, path = config_of(tmp_path), tmp_path / "samples.jsonl"
    origin, judging = evaluate.generation_origin(config, None), {"policy": "triton_only"}
    evaluate.prepare(tmp_path, origin, judging)
    evaluate.generate_missing(path, TASKS, lambda: engine, config)
    write_samples(path, [s.model_copy(update={"verdict": PASSED}) for s in read_samples(path).values()])
    evaluate.prepare(tmp_path, origin, judging)
    assert all(sample.verdict == PASSED for sample in read_samples(path).values())
    evaluate.prepare(tmp_path, origin, {"policy": "mixed"})
    assert [sample.verdict for sample in read_samples(path).values()] == [None] * 6
    evaluate.prepare(tmp_path, origin | {"weights": "other"}, {"policy": "mixed"})
    assert not path.exists()
    assert len(list(tmp_path.glob("samples-*.jsonl"))) == 1


def test_heldout_tasks_only_and_families_in_turn(tmp_path):
    rows = [make_task(n, "softmax", "heldout") for n in range(4)]
    rows += [make_task(n, "gather", "heldout") for n in range(4, 8)] + [make_task(n, "sum", "train") for n in range(4)]
    write_tasks(tmp_path, ((task, Solution(task_id=task.id, code="", verdict=PASSED)) for task in rows))
    chosen = evaluate.heldout_tasks(tmp_path, 4)
    assert sorted(task.family for task in chosen) == ["gather", "gather", "softmax", "softmax"]
    assert len(evaluate.heldout_tasks(tmp_path, 0)) == 8
    write_tasks(tmp_path, ((task, Solution(task_id=task.id, code="", verdict=PASSED)) for task in rows[8:]))
    with pytest.raises(ValueError, match=r"data\.heldout_families"):
        evaluate.heldout_tasks(tmp_path, 0)


def test_missing_checkpoint_names_the_command(tmp_path):
    assert checkpoint(config_of(tmp_path)) is None
    with pytest.raises(SystemExit, match="python -m sft"):
        checkpoint(config_of(tmp_path, "eval.model=sft"))


def test_engine_reports_length_and_end(engine):
    prompt = [{"role": "user", "content": "hello"}]
    long = [{"role": "user", "content": "hello " * 50}]
    answers = engine.generate([prompt, long], 3, 5, 1.0, 7)
    assert [len(row) for row in answers] == [3, 3]
    assert all(c.tokens == 5 for row in answers for c in row if c.truncated)
    assert answers == engine.generate([prompt, long], 3, 5, 1.0, 7)
    assert answers != engine.generate([prompt, long], 3, 5, 1.0, 8)
    stop = set(range(engine.model.config.vocab_size))
    engine.stops, stops = list(stop), engine.stops  # every token ends the answer: none is truncated, each has one token
    assert {(c.tokens, c.truncated, c.text) for c in engine.generate([prompt], 2, 5, 1.0, 7)[0]} == {(1, False, "")}
    engine.stops = stops
    with pytest.raises(ValueError, match=r"eval\.max_completion_tokens"):
        engine.generate([prompt], 1, 5000, 1.0, 7)


def test_left_padding_does_not_change_the_answer(engine):
    short = [{"role": "user", "content": "hi"}]
    long = [{"role": "user", "content": "hello there " * 40}]
    alone = engine.generate([short], 1, 6, 1e-4, 0)[0][0]  # so cold that sampling is greedy
    padded = engine.generate([short, long], 1, 6, 1e-4, 0)[0][0]
    assert alone.text == padded.text


def _answer_with_code(path: Path) -> None:
    names = {task.id: task.entry_point for task in TASKS}
    write_samples(
        path,
        [
            sample.model_copy(update={"completion": f"```python\n{CODE.format(name=names[sample.task_id])}```"})
            for sample in read_samples(path).values()
        ],
    )
