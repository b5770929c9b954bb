"""Requests, answers and errors of OpenAI's chat completions API, as far as the transformers engine serves it.

Not served: streaming, tools, log-probabilities, penalties, output formats. A request for them is refused, not ignored;
vLLM serves them.
"""

import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from data_pipeline.task import Message
from eval.generate import Completion
from sandbox.types import Record

Stop = Annotated[str, Field(min_length=1)]


class ApiError(Exception):
    """The caller's fault; becomes OpenAI's error object."""

    def __init__(self, message: str, param: str | None = None, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code


class TextPart(Record):
    type: Literal["text"]
    text: str


class ChatMessage(Record):
    role: Literal["system", "user", "assistant"]
    content: str | list[TextPart]

    def plain(self) -> Message:
        """As chat templates take it."""
        parts = [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content
        return {"role": self.role, "content": "".join(part.text for part in parts)}


class ChatRequest(Record):
    """Body of POST /v1/chat/completions. None: the server's default."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    n: Annotated[int, Field(ge=1, le=128)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    """Newer name of `max_tokens`; goes before it."""
    seed: int | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    stream: Literal[False] | None = None

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


def parse(body: bytes) -> ChatRequest:
    """Check a request.

    Raises:
        ApiError: names the first parameter that is wrong.
    """
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        unknown = first["type"] == "extra_forbidden"
        message = "the transformers engine does not serve this; serve.engine=vllm may" if unknown else first["msg"]
        param = str(first["loc"][0]) if first["loc"] else None
        raise ApiError(f"{where}: {message}" if where else message, param) from error


def error_body(message: str, param: str | None, code: str | None, *, ours: bool) -> dict[str, Any]:
    kind = "server_error" if ours else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def models_body(name: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "kernelwright"}]}


def chat_body(name: str, prompt_tokens: int, completions: Sequence[Completion]) -> dict[str, Any]:
    """The answer to a chat request."""
    written = sum(completion.tokens for completion in completions)
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": name,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": completion.text},
                "finish_reason": "length" if completion.truncated else "stop",
                "logprobs": None,
            }
            for index, completion in enumerate(completions)
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": written,
            "total_tokens": prompt_tokens + written,
        },
    }
