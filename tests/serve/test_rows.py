"""Unlike rows in one batch, and who is batched with whom."""

import asyncio
from collections import Counter

import pytest
import torch
from serving import checkpoint, config_of

from eval.generate import TransformersEngine, load_transformers
from serve.app import Batcher
from serve.rows import Row, _Draws, write_rows

SHORT, LONG = (9, 80, 700), tuple(range(100, 140))


class WatchedEngine(TransformersEngine):
    """Remembers how many rows each batch had."""

    def continuations(self, prompts, max_tokens, temperature, **hooks):
        self.batches.append(len(prompts))
        return super().continuations(prompts, max_tokens, temperature, **hooks)


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> WatchedEngine:
    weights = checkpoint(tmp_path_factory.mktemp("weights"))
    loaded = load_transformers(config_of(weights), weights, 4)
    watched = WatchedEngine(loaded.model, loaded.tokenizer, 4)
    watched.batches = []
    return watched


def row(prompt: tuple[int, ...], max_tokens: int = 8, temperature: float = 0.0, seed: int = 0, **options) -> Row:
    return Row(
        prompt=prompt, max_tokens=max_tokens, temperature=temperature, seed=seed, **({"top_p": 1, "stop": ()} | options)
    )


def test_a_row_does_not_depend_on_its_neighbours(engine):
    rows = [row(SHORT, 5), row(LONG, 9), row(SHORT, 12, 1.0, 1), row(LONG, 7, 1.3, 2, top_p=0.9), row(SHORT, 12, 1, 3)]
    together = write_rows(engine, rows)
    assert together == [write_rows(engine, [alone])[0] for alone in rows]
    assert [completion.tokens for completion in together] == [5, 9, 12, 7, 12]
    assert together[2].text != together[4].text
    end = engine.continuations([list(SHORT)], 3, 0)[0][2]  # what the greedy short row writes third
    stops, engine.stops = engine.stops, [end]
    ended = write_rows(engine, rows)
    engine.stops = stops
    assert (ended[0].tokens, ended[0].truncated) == (3, False)
    assert together[0].text.startswith(ended[0].text)
    assert ended[1] == together[1]


def test_draws_follow_temperature_and_nucleus():
    share = torch.tensor([0.5, 0.3, 0.15, 0.05])
    rows = [row((0,), temperature=1.0, seed=seed) for seed in range(4000)]
    rows += [row((0,), temperature=1.0, seed=seed, top_p=0.6) for seed in range(1000)]
    rows += [row((0,), temperature=0.5, seed=seed) for seed in range(4000)]
    chosen = _Draws(rows, torch.device("cpu"))(torch.zeros(1), share.log().repeat(len(rows), 1)).argmax(-1).tolist()
    plain, nucleus, cold = Counter(chosen[:4000]), Counter(chosen[4000:5000]), Counter(chosen[5000:])
    squared = share**2 / (share**2).sum()
    for token in range(4):  # four standard deviations of a share of 4000 draws are at most 0.032
        assert plain[token] / 4000 == pytest.approx(share[token].item(), abs=0.032)
        assert cold[token] / 4000 == pytest.approx(squared[token].item(), abs=0.032)
    assert set(nucleus) == {0, 1}, "0.5 alone does not reach 0.6"


def test_requests_share_batches_and_a_fault_stays_in_its_own(engine, tmp_path):
    settings = config_of(tmp_path, "serve.batch_size=4", "serve.wait_ms=20").serve
    outside = row((10**6,))  # no token of the vocabulary

    async def serve() -> None:
        batcher = Batcher(engine, settings)
        serving = asyncio.create_task(batcher.run())
        with pytest.raises(IndexError):
            await batcher.write([outside])
        engine.batches.clear()
        one, three, two = await asyncio.gather(
            batcher.write([row(SHORT)]),
            batcher.write([row(LONG, seed=seed) for seed in range(3)]),
            batcher.write([row(LONG, 3), row(SHORT, 4)]),
        )
        serving.cancel()
        assert engine.batches == [4, 2]
        assert [one, three[:1], two] == [
            write_rows(engine, rows) for rows in ([row(SHORT)], [row(LONG)], [row(LONG, 3), row(SHORT, 4)])
        ]

    asyncio.run(serve())
