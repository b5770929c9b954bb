"""Engine `openai` against our own server, by the official client: what it asks, what is stored, resuming."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from make_run import PASSED, make_task
from openai import OpenAI
from serving import ROOT, checkpoint, config_of, running_server

from configs.errors import UsageError
from data_pipeline.store import write_tasks
from data_pipeline.task import Solution
from eval.endpoint import OpenAIEngine
from eval.evaluate import generate_missing
from eval.generate import load_transformers
from eval.samples import Sampling, read_samples

CHAT = [{"role": "user", "content": "Write a softmax."}]
LONG = [{"role": "system", "content": "You write kernels. " * 20}, *CHAT]


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("endpoint")) as url:
        yield url


def test_engine_openai_asks_for_samples_with_seeds_of_their_own(url, tmp_path):
    config = config_of(tmp_path, f"eval.endpoint.url={url}", "eval.engine=openai", "eval.endpoint.concurrency=3")
    engine, seen = OpenAIEngine(config.eval.endpoint), []
    answers = engine.generate([CHAT, LONG], 3, 10, 1.0, 5, seen.append)
    assert [len(row) for row in answers] == [3, 3]
    assert sum(seen) == 6
    assert len({completion.seed for row in answers for completion in row}) == 6
    assert len({completion.text for row in answers for completion in row}) == 6
    assert engine.generate([CHAT, LONG], 3, 10, 1.0, 5) == answers
    with OpenAI(base_url=url, api_key="none") as client:
        again = client.chat.completions.create(
            model="tiny", messages=LONG, seed=answers[1][2].seed, temperature=1.0, max_tokens=10
        )
    assert again.choices[0].message.content == answers[1][2].text, "the stored settings reproduce a sample"


@pytest.mark.slow
def test_evaluating_an_endpoint_and_resuming_without_it(url, tmp_path):
    tasks = [make_task(n, "softmax", "heldout") for n in range(2)]
    write_tasks(tmp_path / "data", ((task, Solution(task_id=task.id, code="", verdict=PASSED)) for task in tasks))
    command = [sys.executable, "-m", "eval", f"out={tmp_path}", "model=tiny", "device=cpu", "eval.engine=openai"]
    command += ["eval.samples=2", "eval.pass_k=[1,2]", "eval.max_completion_tokens=6", f"eval.endpoint.url={url}"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=200)
    folder = tmp_path / "eval" / "endpoint"
    samples = read_samples(folder / "samples.jsonl")
    assert len(samples) == 4
    assert len({sample.sampling.seed for sample in samples.values()}) == 4
    prompts = json.loads((folder / "prompts.json").read_text())
    for sample in samples.values():
        assert sample.sampling == Sampling(seed=sample.sampling.seed, temperature=0.8, max_tokens=6)
        assert sample.verdict.stage == "extract"
        assert prompts[sample.prompt][-1]["role"] == "user"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["model"], metrics["judged"]) == ("endpoint", 4)
    before = (folder / "samples.jsonl").read_text()
    subprocess.run([*command, "eval.endpoint.retries=0", "eval.endpoint.key_variable=NOT_SET"], cwd=ROOT, check=True)
    assert (folder / "samples.jsonl").read_text() == before, "what is complete asks no endpoint"


def test_at_temperature_0_an_endpoint_writes_what_the_engine_writes(tmp_path):
    weights = checkpoint(tmp_path / "weights")
    tasks = [make_task(n, "softmax", "heldout") for n in range(4)]
    asked = ["eval.temperature=0", "eval.samples=2", "eval.pass_k=[1,2]", "eval.max_completion_tokens=12"]
    with running_server(tmp_path, f"serve.model={weights}", "serve.wait_ms=20") as url:
        served = config_of(tmp_path, *asked, "eval.engine=openai", f"eval.endpoint.url={url}")
        generate_missing(tmp_path / "served", tasks, lambda: OpenAIEngine(served.eval.endpoint), served)
    config = config_of(tmp_path, *asked)
    generate_missing(tmp_path / "local", tasks, lambda: load_transformers(config, weights, 3), config)
    ours, theirs = read_samples(tmp_path / "local"), read_samples(tmp_path / "served")
    assert len(ours) == 8 and len({sample.completion for sample in ours.values()}) > 1
    assert {key: (s.completion, s.truncated, s.tokens, s.prompt) for key, s in ours.items()} == {
        key: (s.completion, s.truncated, s.tokens, s.prompt) for key, s in theirs.items()
    }


def test_what_an_endpoint_refuses_is_told(url, tmp_path):
    other = config_of(tmp_path, f"eval.endpoint.url={url}", "eval.endpoint.model=mistyped").eval.endpoint
    with pytest.raises(UsageError, match=r"no model 'mistyped' here.*eval\.endpoint\.model=mistyped"):
        OpenAIEngine(other).generate([CHAT], 1, 4, 1.0, 0)


def test_an_endpoint_that_is_not_there_or_wants_a_key(tmp_path, monkeypatch):
    nowhere = config_of(tmp_path, "eval.endpoint.url=http://127.0.0.1:9/v1", "eval.endpoint.retries=0").eval.endpoint
    with pytest.raises(UsageError, match=r"eval\.endpoint\.url"):
        OpenAIEngine(nowhere).generate([CHAT], 1, 4, 1.0, 0)
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ValueError, match="SOME_KEY"):
        OpenAIEngine(nowhere.model_copy(update={"key_variable": "SOME_KEY"}))
