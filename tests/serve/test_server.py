"""The fallback server as a client sees it: the official client against a real process with a real (tiny) model."""

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from serving import config_of, running_server

from eval.endpoint import OpenAIEngine
from eval.generate import TransformersEngine, load_transformers

CHAT = [{"role": "user", "content": "Write a softmax."}]
LONG = [{"role": "system", "content": "You write kernels. " * 20}, *CHAT]


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("serve"), "serve.max_completion_tokens=24", "serve.wait_ms=50") as url:
        yield url


@pytest.fixture(scope="module")
def client(url) -> Iterator[OpenAI]:
    with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> TransformersEngine:
    return load_transformers(config_of(tmp_path_factory.mktemp("engine")), None, 4)


def ask(client: OpenAI, messages=CHAT, **options):
    return client.chat.completions.create(model="tiny", messages=messages, **options)


def test_greedy_is_what_the_engine_writes_also_in_a_batch_of_unlike_requests(client, engine):
    expected = {len(chat): engine.generate([chat], 1, tokens, 0, 0)[0][0] for chat, tokens in ((CHAT, 12), (LONG, 20))}
    with ThreadPoolExecutor(3) as pool:
        short = pool.submit(ask, client, CHAT, temperature=0, max_tokens=12)
        hot = pool.submit(ask, client, CHAT, temperature=1.5, max_tokens=24, n=2)
        long = pool.submit(ask, client, LONG, temperature=0, max_completion_tokens=20)
    for answer, completion in ((short.result(), expected[1]), (long.result(), expected[2])):
        assert answer.choices[0].message.content == completion.text
        assert answer.choices[0].finish_reason == ("length" if completion.truncated else "stop")
        assert answer.usage.completion_tokens == completion.tokens
    assert len({choice.message.content for choice in hot.result().choices}) == 2


def test_a_seed_fixes_every_choice_whoever_shares_the_batch(client):
    def texts(**options):
        return [choice.message.content for choice in ask(client, max_tokens=10, **options).choices]

    alone = texts(n=3, seed=7)
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(texts, n=4, seed=8)
        together = pool.submit(texts, n=3, seed=7)
    assert together.result() == alone
    assert len(set(alone) | set(other.result())) == 7
    assert texts() != texts(), "without a seed every answer is drawn anew"


def test_stop_strings_and_nucleus(client):
    whole = ask(client, temperature=0, max_tokens=24).choices[0].message.content
    stop = whole[len(whole) // 2 :][:3]
    answer = ask(client, temperature=0, max_tokens=24, stop=["never written", stop])
    assert answer.choices[0].message.content == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens < 24
    assert ask(client, top_p=1e-6, temperature=2, max_tokens=24).choices[0].message.content == whole


def test_limit_of_the_server_holds(client):
    answer = ask(client, temperature=0, max_tokens=1000)
    assert answer.usage.completion_tokens <= 24
    assert ask(client, temperature=0).usage == answer.usage


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"n": 0}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "word " * 5000}]}, "messages"),
        ({"stream": True}, "stream"),
    ],
)
def test_what_is_wrong_or_not_served_is_named(client, options, param):
    with pytest.raises(BadRequestError) as failure:
        ask(client, **options)
    assert failure.value.param == param
    assert failure.value.type == "invalid_request_error"


def test_other_models_and_bodies_that_are_no_json(client, url):
    assert [model.id for model in client.models.list()] == ["tiny"]
    with pytest.raises(NotFoundError, match="tiny"):
        client.chat.completions.create(model="gpt", messages=CHAT)
    request = urllib.request.Request(f"{url}/chat/completions", data=b"{", method="POST")
    with pytest.raises(urllib.error.HTTPError) as failure:
        urllib.request.urlopen(request, timeout=30)
    assert failure.value.code == 400
    assert "JSON" in json.load(failure.value)["error"]["message"]


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
        again = ask(client, LONG, seed=answers[1][2].seed, temperature=1.0, max_tokens=10)
    assert again.choices[0].message.content == answers[1][2].text, "the stored settings reproduce a sample"


def test_an_endpoint_that_is_not_there_or_wants_a_key(tmp_path, monkeypatch):
    nowhere = config_of(tmp_path, "eval.endpoint.url=http://127.0.0.1:9/v1", "eval.endpoint.retries=0").eval.endpoint
    with pytest.raises(ConnectionError, match=r"eval\.endpoint\.url"):
        OpenAIEngine(nowhere).generate([CHAT], 1, 4, 1.0, 0)
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ValueError, match="SOME_KEY"):
        OpenAIEngine(nowhere.model_copy(update={"key_variable": "SOME_KEY"}))
