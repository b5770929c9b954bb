"""Training tasks → prompts that fit."""

from typing import NamedTuple

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from configs.errors import UsageError
from configs.models import chat_tokens
from data_pipeline.prompt import render_prompt
from data_pipeline.task import Task


class Prompts(NamedTuple):
    dataset: Dataset
    """Columns `prompt` (chat messages) and `task_id`."""
    tasks: dict[str, Task]
    dropped: int
    """Prompts longer than `max_tokens`; they are never cut."""


def build(tasks: list[Task], tokenizer: PreTrainedTokenizerBase, max_tokens: int, at_least: int) -> Prompts:
    """Prompts of at most `max_tokens` tokens, the opening of the answer included.

    Raises:
        UsageError: fewer than `at_least` fit, so that not one step could be filled.
    """
    prompts = {task.id: render_prompt(task) for task in tasks}
    fitting = {
        task.id: task for task in tasks if len(chat_tokens(tokenizer, prompts[task.id], to_answer=True)) <= max_tokens
    }
    if len(fitting) < at_least:
        raise UsageError(
            f"{len(fitting)} of {len(tasks)} training prompts fit into rl.max_prompt_tokens={max_tokens}, "
            f"rl.prompts_per_step={at_least} are needed: raise rl.max_prompt_tokens or lower rl.prompts_per_step"
        )
    rows = [{"prompt": prompts[name], "task_id": name} for name in fitting]
    return Prompts(dataset=Dataset.from_list(rows), tasks=fitting, dropped=len(tasks) - len(fitting))
