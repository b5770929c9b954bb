"""The fallback server: requests that arrive together are written together, by one thread that owns the model."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from configs.evaluation import ServeConfig
from configs.schema import Config
from eval.generate import Completion, TransformersEngine, prompt_tokens
from serve.api import ApiError, ChatRequest, chat_body, error_body, models_body, parse
from serve.rows import Row, write_rows


class Batcher:
    """Collects rows of all requests and writes at most `batch_size` of them at a time."""

    def __init__(self, engine: TransformersEngine, settings: ServeConfig) -> None:
        self.engine, self.settings = engine, settings
        self.waiting: asyncio.Queue[tuple[Row, asyncio.Future[Completion]]] = asyncio.Queue()

    async def write(self, rows: Sequence[Row]) -> list[Completion]:
        """One completion a row. Raises whatever the model raised."""
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[Completion]] = [loop.create_future() for _ in rows]
        for entry in zip(rows, answers, strict=True):
            self.waiting.put_nowait(entry)
        return await asyncio.gather(*answers)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            batch = [await self.waiting.get()]
            await asyncio.sleep(self.settings.wait_ms / 1000)
            while len(batch) < self.settings.batch_size and not self.waiting.empty():
                batch.append(self.waiting.get_nowait())
            rows = [row for row, _ in batch]
            writing = asyncio.create_task(asyncio.to_thread(write_rows, self.engine, rows))
            await asyncio.wait([writing])
            fault = writing.exception()  # for the requests of this batch; the next one is served
            for i, (_, answer) in enumerate(batch):
                if answer.done():  # its request was cancelled
                    continue
                if fault:
                    answer.set_exception(fault)
                else:
                    answer.set_result(writing.result()[i])


def rows_of(request: ChatRequest, prompt: Sequence[int], config: Config) -> list[Row]:
    """The completions that a request asks for. Without a seed, one is drawn.

    Raises:
        ApiError: prompt and answer do not fit the model's context.
    """
    settings, context = config.serve, config.model.context_tokens
    room = context - len(prompt)
    limit = min(request.limit or min(settings.max_completion_tokens, room), settings.max_completion_tokens)
    if limit > room or room < 1:
        raise ApiError(
            f"the prompt has {len(prompt)} tokens, and with {max(limit, 1)} for the answer it exceeds the model's "
            f"context of {context}",
            "messages",
            code="context_length_exceeded",
        )
    seed = secrets.randbits(63) if request.seed is None else request.seed
    row = Row(
        prompt=tuple(prompt),
        max_tokens=limit,
        temperature=settings.temperature if request.temperature is None else request.temperature,
        top_p=settings.top_p if request.top_p is None else request.top_p,
        seed=0,
        stop=request.stops,
    )
    return [row.model_copy(update={"seed": _seed(seed, index)}) for index in range(request.n)]


def make_app(engine: TransformersEngine, config: Config) -> Starlette:
    """GET /v1/models and POST /v1/chat/completions for the one model of `engine`."""
    name, batcher = config.model.name, Batcher(engine, config.serve)

    async def models(_: Request) -> JSONResponse:
        return JSONResponse(models_body(name))

    async def chat(http: Request) -> JSONResponse:
        request = parse(await http.body())
        if request.model != name:
            raise ApiError(f"no model {request.model!r} here, only {name!r}", "model", 404, "model_not_found")
        prompt = prompt_tokens(engine.tokenizer, [message.plain() for message in request.messages])
        completions = await batcher.write(rows_of(request, prompt, config))
        return JSONResponse(chat_body(name, len(prompt), completions))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        serving = asyncio.create_task(batcher.run())
        yield
        serving.cancel()

    return Starlette(
        routes=[Route("/v1/models", models), Route("/v1/chat/completions", chat, methods=["POST"])],
        exception_handlers={ApiError: _callers_fault, HTTPException: _no_such_route, 500: _our_fault},
        lifespan=lifespan,
    )


async def _callers_fault(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return JSONResponse(error_body(str(error), error.param, error.code, ours=False), error.status)


async def _no_such_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse(error_body(message, None, None, ours=False), error.status_code)


async def _our_fault(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(error_body(f"{type(error).__name__}: {error}", None, None, ours=True), 500)


def _seed(seed: int, index: int) -> int:
    """Another seed for each choice of a request."""
    return int(hashlib.sha256(f"{seed} {index}".encode()).hexdigest()[:15], 16)
