"""Engine `openai`: any OpenAI-compatible endpoint, through the official client, which also retries.

One request a sample, each with a seed of its own: not every endpoint knows `n`, and a lost request costs one sample.
An endpoint may ignore the seed; then the stored one reproduces nothing. Endpoints that refuse `temperature` or
`max_tokens` (OpenAI's reasoning models) cannot be evaluated at the settings of the others, so they are not served here.
"""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from typing import cast

from openai import APIConnectionError, APIStatusError, AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from configs.errors import UsageError
from configs.evaluation import EndpointConfig
from data_pipeline.task import Message
from eval.generate import Advance, Completion


class OpenAIEngine:
    """At most `endpoint.concurrency` requests at a time.

    Raises:
        UsageError: the environment variable that should hold the key is not set.
    """

    def __init__(self, endpoint: EndpointConfig) -> None:
        self.endpoint = endpoint
        self.key = "none"  # the client insists on one
        if endpoint.key_variable:
            self.key = os.environ.get(endpoint.key_variable, "")
        if not self.key:
            raise UsageError(
                f"eval.endpoint.key_variable={endpoint.key_variable}, but that environment variable is not set: "
                "export it, or set null for an endpoint without a key"
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
        async def run() -> list[list[Completion]]:
            slots = asyncio.Semaphore(self.endpoint.concurrency)
            async with AsyncOpenAI(
                base_url=self.endpoint.url,
                api_key=self.key,
                timeout=self.endpoint.timeout_seconds,
                max_retries=self.endpoint.retries,
            ) as client:

                async def one(prompt: list[Message], sample_seed: int) -> Completion:
                    async with slots:
                        completion = await self._ask(client, prompt, max_tokens, temperature, sample_seed)
                    if advance:
                        advance(1)
                    return completion

                rows = [
                    asyncio.gather(*(one(prompt, _sample_seed(seed, place, index)) for index in range(samples)))
                    for place, prompt in enumerate(prompts)
                ]
                return list(await asyncio.gather(*rows))

        return asyncio.run(run())

    async def _ask(
        self, client: AsyncOpenAI, prompt: list[Message], max_tokens: int, temperature: float, seed: int
    ) -> Completion:
        try:
            answer = await client.chat.completions.create(
                model=self.endpoint.model,
                messages=cast(list[ChatCompletionMessageParam], prompt),
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
            )
        except APIConnectionError as error:
            raise UsageError(
                f"no answer from eval.endpoint.url={self.endpoint.url} ({error}): start it, for one of our models with "
                "python -m serve, or correct the URL; where it is only slow, raise eval.endpoint.timeout_seconds"
            ) from error
        except (APIStatusError, ValueError) as error:
            raise UsageError(
                f"eval.endpoint.url={self.endpoint.url} gives no completion: {error}; check the URL, "
                f"eval.endpoint.model={self.endpoint.model} and eval.endpoint.key_variable"
            ) from error
        if answer.usage is None:
            raise UsageError(f"eval.endpoint.url={self.endpoint.url} does not say how many tokens it wrote (`usage`)")
        choice = answer.choices[0]
        return Completion(
            text=choice.message.content or "",
            truncated=choice.finish_reason == "length",
            tokens=answer.usage.completion_tokens,
            seed=seed,
        )


def _sample_seed(seed: int, place: int, index: int) -> int:
    """31 bits: what every endpoint takes."""
    return int(hashlib.sha256(f"{seed} {place} {index}".encode()).hexdigest()[:8], 16) >> 1
