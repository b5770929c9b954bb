"""Generation engines behind one call. `transformers` runs anywhere; `vllm` is for GPU hosts; `openai` asks an endpoint.

The last two are imported only when asked for.

Differs from `pipeline("text-generation")`: every sample of every prompt is one row, rows are sorted by prompt length
so that left padding wastes little, the end of a sample is known exactly, and the caller's random state is left alone.
"""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from configs.errors import UsageError
from configs.models import load_model, load_tokenizer, mixed_precision, resolve_device, weights_location
from configs.schema import Config
from data_pipeline.task import Message
from sandbox.types import Record

Advance = Callable[[int], None]
"""Called with the number of samples just finished."""


class Completion(Record):
    """What the model wrote."""

    text: str
    truncated: bool
    """Stopped by `max_tokens`, not by its own end-of-sequence token."""
    tokens: int
    """Generated tokens, the end-of-sequence token included."""
    seed: int
    """Of the random generator: one for a call of `transformers` and `vllm`, one a sample of `openai`."""


class Engine(Protocol):
    """Samples completions. Same arguments and seed give the same answer on the same machine."""

    def generate(
        self,
        prompts: Sequence[list[Message]],
        samples: int,
        max_tokens: int,
        temperature: float,
        seed: int,
        advance: Advance | None = None,
    ) -> list[list[Completion]]:
        """One list of `samples` completions for each prompt, in the order of the prompts."""
        ...


def load_engine(config: Config, checkpoint: Path | None) -> Engine:
    """The engine that `config.eval.engine` names, with the weights of `checkpoint` or, for None, the untouched model.

    Raises:
        UsageError: vLLM cannot load this model, or an endpoint's key is missing; the message says what to set.
        UsageError: weights cannot be reached.
    """
    if config.eval.engine == "openai":
        from eval.endpoint import OpenAIEngine

        return OpenAIEngine(config.eval.endpoint)
    if config.eval.engine == "vllm":
        return VllmEngine(weights_location(config.model, checkpoint), load_tokenizer(config.model), config)
    return load_transformers(config, checkpoint, config.eval.batch_size)


def load_transformers(
    config: Config, checkpoint: Path | None, batch_size: int, adapter: Path | None = None
) -> "TransformersEngine":
    """The engine `transformers`, with a LoRA adapter merged into the weights where one is given.

    Raises:
        UsageError: weights cannot be reached.
    """
    device = resolve_device(config.device)
    model = load_model(config.model, device, checkpoint)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    if mixed_precision(config.model, device):
        # A CPU gets float32 weights, which training needs. Generation reads all weights for every token, so where the
        # processor has bfloat16 instructions the config's own dtype is faster.
        torch.nn.Module.to(model, torch.bfloat16)
    return TransformersEngine(model, load_tokenizer(config.model), batch_size)


class TransformersEngine:
    """Batched sampling with `generate`: left padding, KV cache, stops at the end-of-sequence token."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int) -> None:
        self.model = model
        model.train(False)
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        declared = model.generation_config.eos_token_id
        self.stops: list[int] = declared if isinstance(declared, list) else [declared]

    def generate(
        self,
        prompts: Sequence[list[Message]],
        samples: int,
        max_tokens: int,
        temperature: float,
        seed: int,
        advance: Advance | None = None,
    ) -> list[list[Completion]]:
        tokens = [prompt_tokens(self.tokenizer, prompt) for prompt in prompts]
        _check_context(tokens, max_tokens, self.model.config.max_position_embeddings)
        # Longest first: if memory runs out, it does so at once.
        rows = sorted((p for p in range(len(prompts)) for _ in range(samples)), key=lambda p: -len(tokens[p]))
        done: list[list[Completion]] = [[] for _ in prompts]
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            for start in range(0, len(rows), self.batch_size):
                batch = rows[start : start + self.batch_size]
                written = self.continuations([tokens[p] for p in batch], max_tokens, temperature)
                for p, row in zip(batch, written, strict=True):
                    done[p].append(self.completion(row, seed))
                if advance:
                    advance(len(batch))
        return done

    def continuations(
        self, prompts: list[list[int]], max_tokens: int, temperature: float, **hooks: Any
    ) -> list[list[int]]:
        """Tokens after each prompt, padding after an end too; greedy at temperature 0. `hooks` go to `generate`."""
        inputs = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers does not type it
            **({"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}),
            max_new_tokens=max_tokens,
            eos_token_id=self.stops,
            pad_token_id=self.tokenizer.pad_token_id,
            use_cache=True,
        )
        generate: Any = self.model.generate  # its mixin is typed as a Tensor attribute
        out = generate(**inputs.to(self.model.device), generation_config=config, **hooks)
        width = inputs["input_ids"].shape[1]
        rows: list[list[int]] = out[:, width:].tolist()
        return rows

    def completion(self, generated: list[int], seed: int) -> Completion:
        """What a row of `continuations` says, up to its end-of-sequence token."""
        end = next((i for i, token in enumerate(generated) if token in self.stops), None)
        ended = end is not None
        kept = generated[:end]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(text=str(text), truncated=not ended, tokens=len(kept) + ended, seed=seed)


class VllmEngine:
    """vLLM's continuous batching; `n` samples of a prompt share its prefill."""

    def __init__(self, weights: str, tokenizer: PreTrainedTokenizerBase, config: Config) -> None:
        from vllm import LLM

        self.tokenizer = tokenizer
        self.context_tokens = config.model.context_tokens
        self.llm: Any = LLM(
            model=weights,
            dtype=config.model.dtype,
            max_model_len=self.context_tokens,
            seed=config.eval.seed,
            gpu_memory_utilization=config.eval.gpu_memory,
            skip_tokenizer_init=True,
        )

    def generate(
        self,
        prompts: Sequence[list[Message]],
        samples: int,
        max_tokens: int,
        temperature: float,
        seed: int,
        advance: Advance | None = None,
    ) -> list[list[Completion]]:
        from vllm import SamplingParams

        tokens = [prompt_tokens(self.tokenizer, prompt) for prompt in prompts]
        _check_context(tokens, max_tokens, self.context_tokens)
        sampling = SamplingParams(
            n=samples,
            temperature=temperature,
            max_tokens=max_tokens,
            seed=seed,
            stop_token_ids=[self.tokenizer.eos_token_id],
            detokenize=False,
        )
        inputs = [{"prompt_token_ids": ids} for ids in tokens]
        answers = self.llm.generate(inputs, sampling, use_tqdm=False)
        if advance:
            advance(len(prompts) * samples)
        return [[self._completion(output, seed) for output in answer.outputs] for answer in answers]

    def _completion(self, output: Any, seed: int) -> Completion:
        text = self.tokenizer.decode(list(output.token_ids), skip_special_tokens=True)
        truncated = output.finish_reason == "length"
        return Completion(text=str(text), truncated=truncated, tokens=len(output.token_ids), seed=seed)


def release() -> None:
    """Give back the GPU memory of engines that nobody holds any more: the sandbox is next on the same GPU."""
    gc.collect()
    torch.cuda.empty_cache()  # nothing where CUDA was never started


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompt: list[Message]) -> list[int]:
    """Token ids of a conversation under the chat template, up to where the answer begins."""
    text = tokenizer.apply_chat_template(
        [{"role": m["role"], "content": m["content"]} for m in prompt], tokenize=False, add_generation_prompt=True
    )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _check_context(prompts: Sequence[list[int]], max_tokens: int, context_tokens: int) -> None:
    longest = max(map(len, prompts), default=0)
    if longest + max_tokens > context_tokens:
        raise UsageError(
            f"the longest prompt has {longest} tokens, and with {max_tokens} for the answer it exceeds the model's "
            f"context of {context_tokens}; lower eval.max_completion_tokens"
        )
