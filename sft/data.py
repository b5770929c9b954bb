"""Tasks and verified solutions → conversations to train on.

Differs from common practice: what does not fit is dropped and counted, never cut (half a kernel teaches half a kernel),
and only solutions that our own sandbox passed are used.
"""

import random
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from configs.errors import UsageError
from configs.models import chat_tokens
from data_pipeline.prompt import render_answer, render_prompt
from data_pipeline.task import Message, Solution, Task

HELDOUT_ROWS = 16
"""At most this many conversations, and at most a tenth, are kept out of training to measure the loss on."""


class Conversations(NamedTuple):
    training: list[list[Message]]
    heldout: list[list[Message]]
    """Of the training families, but never trained on: tells learning from a broken optimiser, not generalisation."""
    dropped: int
    """Longer than `max_length`."""


def conversation(task: Task, solution: Solution) -> list[Message]:
    """Prompt and answer exactly as RL and evaluation will see them."""
    return [*render_prompt(task), Message(role="assistant", content=render_answer(solution.code))]


def build(
    pairs: list[tuple[Task, Solution]], tokenizer: PreTrainedTokenizerBase, max_length: int, seed: int
) -> Conversations:
    """Split the conversations that fit into training and held-out ones.

    Raises:
        UsageError: fewer than two fit.
    """
    everything = [conversation(task, solution) for task, solution in pairs]
    fitting = [messages for messages in everything if len(chat_tokens(tokenizer, messages)) <= max_length]
    dropped = len(everything) - len(fitting)
    if len(fitting) < 2:
        raise UsageError(
            f"{len(fitting)} of {len(everything)} conversations fit into sft.max_length={max_length}; at least 2 must: "
            "raise sft.max_length, or data.synthetic_tasks if there are too few pairs"
        )
    random.Random(seed).shuffle(fitting)
    heldout = min(HELDOUT_ROWS, max(1, len(fitting) // 10))
    return Conversations(training=fitting[heldout:], heldout=fitting[:heldout], dropped=dropped)
