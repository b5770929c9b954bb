"""Generation engines behind one call. `transformers` runs anywhere; `vllm` is for GPU hosts, imported only when asked.

Differs from `pipeline("text-generation")`: every sample of every prompt is one row, rows are sorted by prompt length
so that left padding wastes little, the end of a sample is known exactly, and the caller's random state is left alone.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

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
        ValueError: vLLM cannot load this model; the message says what to set.
        OSError: weights cannot be reached.
    """
    tokenizer = load_tokenizer(config.model)
    if config.eval.engine == "vllm":
        return VllmEngine(weights_location(config.model, checkpoint), tokenizer, config)
    device = resolve_device(config.device)
    model = load_model(config.model, device, checkpoint)
    if mixed_precision(config.model, device):
        # A CPU gets float32 weights, which training needs. Generation reads all weights for every token, so where the
        # processor has bfloat16 instructions the config's own dtype is faster.
        torch.nn.Module.to(model, torch.bfloat16)
    return TransformersEngine(model, tokenizer, config.eval.batch_size)


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
        tokens = [_prompt_tokens(self.tokenizer, prompt) for prompt in prompts]
        _check_context(tokens, max_tokens, self.model.config.max_position_embeddings)
        # Longest first: if memory runs out, it does so at once.
        rows = sorted((p for p in range(len(prompts)) for _ in range(samples)), key=lambda p: -len(tokens[p]))
        done: list[list[Completion]] = [[] for _ in prompts]
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            for start in range(0, len(rows), self.batch_size):
                batch = rows[start : start + self.batch_size]
                completions = self._sample([tokens[p] for p in batch], max_tokens, temperature)
                for p, completion in zip(batch, completions, strict=True):
                    done[p].append(completion)
                if advance:
                    advance(len(batch))
        return done

    def _sample(self, prompts: list[list[int]], max_tokens: int, temperature: float) -> list[Completion]:
        inputs = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers does not type it
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=max_tokens,
            eos_token_id=self.stops,
            pad_token_id=self.tokenizer.pad_token_id,
            use_cache=True,
        )
        generate: Any = self.model.generate  # its mixin is typed as a Tensor attribute
        out = generate(**inputs.to(self.model.device), generation_config=config)
        width = inputs["input_ids"].shape[1]
        return [self._completion(row) for row in out[:, width:].tolist()]

    def _completion(self, generated: list[int]) -> Completion:
        end = next((i for i, token in enumerate(generated) if token in self.stops), None)
        ended = end is not None
        kept = generated[:end]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(text=str(text), truncated=not ended, tokens=len(kept) + ended)


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

        tokens = [_prompt_tokens(self.tokenizer, prompt) for prompt in prompts]
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
        return [[self._completion(output) for output in answer.outputs] for answer in answers]

    def _completion(self, output: Any) -> Completion:
        text = self.tokenizer.decode(list(output.token_ids), skip_special_tokens=True)
        return Completion(text=str(text), truncated=output.finish_reason == "length", tokens=len(output.token_ids))


def _prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompt: list[Message]) -> list[int]:
    text = tokenizer.apply_chat_template(
        [{"role": m["role"], "content": m["content"]} for m in prompt], tokenize=False, add_generation_prompt=True
    )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _check_context(prompts: Sequence[list[int]], max_tokens: int, context_tokens: int) -> None:
    longest = max(map(len, prompts), default=0)
    if longest + max_tokens > context_tokens:
        raise ValueError(
            f"the longest prompt has {longest} tokens, and with {max_tokens} for the answer it exceeds the model's "
            f"context of {context_tokens}; lower eval.max_completion_tokens"
        )
