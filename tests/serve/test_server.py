"""The fallback server as a client sees it: the official client against a real process with a real (tiny) model."""

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from peft import LoraConfig, get_peft_model
from serving import checkpoint, config_of, running_server

from eval.generate import TransformersEngine, load_transformers

CHAT = [{"role": "user", "content": "Write a softmax."}]
LONG = [{"role": "system", "content": "You write kernels. " * 20}, *CHAT]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def url(tmp_path_factory, weights) -> Iterator[str]:
    overrides = [f"serve.model={weights}", "serve.max_completion_tokens=24", "serve.wait_ms=50"]
    with running_server(tmp_path_factory.mktemp("serve"), *overrides) as url:
        yield url


@pytest.fixture(scope="module")
def client(url) -> Iterator[OpenAI]:
    with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def engine(weights) -> TransformersEngine:
    return load_transformers(config_of(weights), weights, 4)


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
    stop = whole[len(whole) // 2 :][:5]  # may begin and end inside tokens
    answer = ask(client, temperature=0, max_tokens=24, stop=["never written", stop])
    assert answer.choices[0].message.content == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    assert whole.index(stop) > 0
    assert 1 < answer.usage.completion_tokens < 24
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


def test_a_lora_adapter_is_served(tmp_path, engine, weights):
    lora = LoraConfig(init_lora_weights=False, lora_alpha=256)
    adapted = get_peft_model(load_transformers(config_of(tmp_path), weights, 4).model, lora)
    adapted.save_pretrained(tmp_path / "adapter")
    answer = TransformersEngine(adapted, engine.tokenizer, 4).generate([CHAT], 1, 12, 0, 0)
    assert answer != engine.generate([CHAT], 1, 12, 0, 0)
    served = load_transformers(config_of(tmp_path), weights, 4, tmp_path / "adapter")
    assert served.generate([CHAT], 1, 12, 0, 0) == answer
