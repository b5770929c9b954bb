"""Completions for unlike requests in one batch: each row has its own seed, temperature, limit and stop strings.

`generate` of transformers takes one setting and one random state for a whole batch. Here it decodes greedily, and a
logits processor has drawn beforehand: the largest of log-probability minus log of an exponential variate is a sample
(the Gumbel-max trick). So a row's answer depends on its own seed only, not on who shares its batch. A batch is done
when its longest row is.
"""

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from eval.generate import Completion, TransformersEngine
from sandbox.types import Record

GREEDY_BELOW = 1e-5
"""Temperatures below are 0, as in vLLM: the logits would overflow."""


class Row(Record):
    """One completion to write."""

    prompt: tuple[int, ...]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    """The text ends before the first of them."""


def write_rows(engine: TransformersEngine, rows: Sequence[Row]) -> list[Completion]:
    """One completion a row, in their order."""
    prompts = [list(row.prompt) for row in rows]
    ends = _Ends(engine, rows)
    with torch.inference_mode():
        written = engine.continuations(
            prompts,
            max(row.max_tokens for row in rows),
            temperature=0,
            logits_processor=LogitsProcessorList([_Draws(rows, engine.model.device)]),
            stopping_criteria=StoppingCriteriaList([ends]),
        )
    lengths = [ends.at.get(i, len(tokens)) for i, tokens in enumerate(written)]
    return [
        _cut(row, engine.completion(tokens[:length], row.seed))
        for row, tokens, length in zip(rows, written, lengths, strict=True)
    ]


class _Draws(LogitsProcessor):
    """Makes the sampled token of each row the likeliest one; rows at temperature 0 stay as they are."""

    def __init__(self, rows: Sequence[Row], device: torch.device) -> None:
        self.rows = rows
        self.generators = [torch.Generator(device).manual_seed(row.seed) for row in rows]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        drawn = scores.float()
        for i, (row, generator) in enumerate(zip(self.rows, self.generators, strict=True)):
            if row.temperature >= GREEDY_BELOW:
                logits = _nucleus(drawn[i] / row.temperature, row.top_p)
                waiting = torch.empty_like(logits).exponential_(generator=generator)
                drawn[i] = logits - waiting.clamp_(min=torch.finfo(waiting.dtype).tiny).log()
        return drawn


class _Ends(StoppingCriteria):
    """Ends a row at its own limit or stop string, and remembers after how many tokens (`at`)."""

    def __init__(self, engine: TransformersEngine, rows: Sequence[Row]) -> None:
        self.rows, self.tokenizer = rows, engine.tokenizer
        self.width = max(len(row.prompt) for row in rows)
        # A character has at most four tokens (bytes), so a stop string that has just ended began within this window.
        self.windows = [4 * max(map(len, row.stop), default=0) + 4 for row in rows]
        self.at: dict[int, int] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        written = input_ids.shape[1] - self.width
        for i, row in enumerate(self.rows):
            if i not in self.at and (written >= row.max_tokens or self._stopped(i, input_ids[i, self.width :])):
                self.at[i] = written
        return torch.tensor([i in self.at for i in range(len(self.rows))], device=input_ids.device)

    def _stopped(self, i: int, written: torch.Tensor) -> bool:
        if not self.rows[i].stop:
            return False
        tail = str(self.tokenizer.decode(written[-self.windows[i] :].tolist(), skip_special_tokens=True))
        return any(stop in tail for stop in self.rows[i].stop)


def _nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep the likeliest tokens that together reach `top_p`; the first always stays."""
    if top_p == 1:
        return logits
    ordered, tokens = logits.sort(descending=True)
    share = ordered.softmax(-1)
    return logits.index_fill(0, tokens[share.cumsum(-1) - share >= top_p], -torch.inf)


def _cut(row: Row, completion: Completion) -> Completion:
    found = [at for stop in row.stop if (at := completion.text.find(stop)) >= 0]
    return (
        completion.model_copy(update={"text": completion.text[: min(found)], "truncated": False})
        if found
        else completion
    )
