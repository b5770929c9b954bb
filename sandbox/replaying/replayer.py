"""The replayer: a long-lived, locked-down process that runs compiled kernels on one GPU. It knows no reference, no seed
and no expected value, and no candidate Python ever comes near it.

A judge asks over a socket, one question at a time:

    arena   map the shared memory whose descriptor came along
    trim    give back memory that is only kept for speed, the arena too
    warm_up  load the libraries of torch operators, which takes seconds
    load    cubins of one candidate
    run     one plan on one set of buffers, once
    record  plans over several sets of buffers into CUDA graphs, after a first run
    sample  replay one graph; how long it took
    share   share of a plan's time that its launches take

Whatever goes wrong on the device is the kernel's fault. When it has cost us the CUDA context, the reply says `lost` and
the process ends; the supervisor starts another one.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sandbox import wire
from sandbox.compiling.binary import Binary
from sandbox.plans import arena, aten
from sandbox.plans.plan import Launch, Plan, TorchCall, View
from sandbox.replaying import cuda
from sandbox.replaying.graphs import RELEASE_EVERY, Flush, TimedGraph, new_event, release_excess
from sandbox.replaying.launch_parameters import ParameterError
from sandbox.replaying.replay import Kernel, Replay, load
from sandbox.types import Record

RECORD_MS, MIN_SETS = 1.0, 4
"""A graph goes over fewer sets where one pass over all of them would take longer than this, but not over fewer sets."""
SHARE_ROUNDS = 5
_SPIN_CYCLES = 2_000_000
"""About a millisecond in which the host can queue everything that is to be timed."""
MAX_REASON = 400
_FAULTS = (
    cuda.CudaError, ParameterError, RuntimeError, ArithmeticError, LookupError, TypeError, ValueError, OSError
)  # fmt: skip
"""What a plan can provoke while it is carried out (RuntimeError: torch's way to report device faults). Nothing of it is
taken for a fault of ours, or a candidate could choose to be excused."""


def warm(device: str = "meta") -> None:
    """What the first torch operator of a plan would otherwise pay for: seconds of imports for shapes on `meta`, and
    later of libraries on a GPU. CUDA must not be started before the fork.
    """
    x, weight = torch.empty(4, 8, 16, device=device), torch.empty(16, device=device)
    torch.nn.functional.layer_norm(torch.softmax(x @ x.mT, -1) @ x, (16,), weight, weight).sum(-1)
    torch.nn.functional.scaled_dot_product_attention(x, x, x)
    torch.nn.functional.conv1d(x, x[:, :, :3].expand(4, 8, 3)).sort(-1)
    torch.nn.functional.conv2d(x, x.new_empty(2, 4, 3, 3))


def serve(request: dict[str, Any], scratch: Path, fds: list[int]) -> dict[str, Any]:
    """Request: `gpu`, as CUDA_VISIBLE_DEVICES names it. Descriptor: a socket to the judge, with whom it ends."""
    os.environ.update(CUDA_VISIBLE_DEVICES=request["gpu"], CUDA_CACHE_DISABLE="1")
    torch.set_num_threads(1)
    channel = socket.socket(fileno=fds[0])
    replayer = Replayer()
    wire.send(channel, {"ready": True})
    while True:
        try:
            message, files = wire.receive(channel)
        except wire.WireError:
            return {}
        reply = _answer(replayer, message, files)
        wire.send(channel, reply)
        if reply.get("lost"):
            return {}


def _answer(replayer: "Replayer", message: dict[str, Any], files: list[int]) -> dict[str, Any]:
    try:
        with torch.no_grad():
            return _QUESTIONS[message.pop("op")](replayer, files=files, **message)
    except torch.OutOfMemoryError as error:
        return {"fault": f"out of GPU memory: {error}"[:MAX_REASON]}
    except _FAULTS as error:
        lost = not _alive()
        reason = str(error).split("\n")[0] if str(error) else type(error).__name__
        return {"rejected": reason[:MAX_REASON], "lost": lost}
    finally:
        for file in files:
            os.close(file)


def _alive() -> bool:
    """Whether the CUDA context survived."""
    try:
        torch.cuda.synchronize()
        torch.zeros(1, device="cuda").item()
    except (RuntimeError, cuda.CudaError):
        return False
    return True


def _milliseconds(replay: Replay) -> float:
    """About how long one pass over one set takes; leaves its memory as it was."""
    start, end, before = new_event(), new_event(), replay.memory.clone()
    replay.run()  # the first run loads what the second needs
    replay.memory.copy_(before)
    start.record()
    replay.run()
    end.record()
    replay.memory.copy_(before)
    torch.cuda.synchronize()
    return float(start.elapsed_time(end))


class Work(Record):
    """One plan, where its buffers lie, and which loaded kernel is which of its own."""

    plan: Plan
    outputs: list[View]
    kernels: list[str]
    layout: arena.Layout


class Replayer:
    """State between questions: the arena, the kernels of the present candidate, its graphs."""

    def __init__(self) -> None:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch types it not
        self.flush = Flush()
        torch.ones(1, 1, device="cuda").mm(torch.ones(1, 1, device="cuda"))  # cuBLAS starts now, or we do not
        self.window, self.memory = cuda.Window(), torch.empty(0, dtype=torch.uint8, device="cuda")
        self.loads = 0
        self.kernels: dict[str, Kernel] = {}
        self.graphs: list[tuple[TimedGraph, Replay]] = []

    def arena(self, nbytes: int, files: list[int]) -> dict[str, Any]:
        self.graphs.clear()
        self.memory = self.window.map(files[0], nbytes)
        return {}

    def trim(self, files: list[int]) -> dict[str, Any]:
        """Give back what is only kept for speed."""
        self.graphs.clear()
        self.window.unmap()
        self.memory = torch.empty(0, dtype=torch.uint8, device="cuda")
        torch.cuda.empty_cache()
        cuda.reset_stack()
        return {}

    def warm_up(self, files: list[int]) -> dict[str, Any]:
        """Start cuDNN and its like."""
        warm("cuda")
        torch.cuda.synchronize()
        return {}

    def load(self, binaries: dict[str, Any], files: list[int]) -> dict[str, Any]:
        """`binaries`: name → `Binary`. Replaces those of the candidate before, except what is asked for again."""
        self.graphs.clear()
        cuda.reset_stack()  # or the candidate before would keep memory from the neighbours
        self.loads += 1
        if self.loads % RELEASE_EVERY == 0:
            torch.cuda.empty_cache()
        release_excess()
        for name in set(self.kernels) - set(binaries):
            cuda.unload(self.kernels.pop(name).module)
        for name in set(binaries) - set(self.kernels):
            self.kernels[name] = load(Binary.model_validate(binaries[name]))
        return {}

    def run(self, work: Any, block: int, files: list[int]) -> dict[str, Any]:
        """Reply: `changed`, for each step the buffers whose bytes it changed."""
        parsed = Work.model_validate(work)
        replay = self._replays(parsed, [block])[0]
        changed = [sorted(buffers) for buffers in replay.watched()]
        replay.deliver(parsed.outputs)
        torch.cuda.synchronize()
        release_excess()
        return {"changed": changed}

    def record(self, work: Any, blocks: list[int], files: list[int]) -> dict[str, Any]:
        """Run over the sets in `blocks`, or so many of them as `RECORD_MS` allow, then record.

        Reply: `graph`, its number, and `sets`, how many there are in it.
        """
        parsed = Work.model_validate(work)
        replays = self._replays(parsed, blocks)
        replays = replays[: max(MIN_SETS, int(RECORD_MS / _milliseconds(replays[0])))]

        def run() -> None:
            for replay in replays:
                replay.run()

        def deliver() -> None:
            for replay in replays:
                replay.deliver(parsed.outputs)

        run()
        deliver()
        torch.cuda.synchronize()
        self.graphs.append((TimedGraph(self.flush, run, deliver), replays[0]))
        return {"graph": len(self.graphs) - 1, "sets": len(replays)}

    def sample(self, graph: int, files: list[int]) -> dict[str, Any]:
        """Reply: `ms` for one pass over all sets."""
        return {"ms": self.graphs[graph][0].sample()}

    def share(self, graph: int, files: list[int]) -> dict[str, Any]:
        """Reply: `share` of the time of a plan's steps that its launches take, each step between events of its own."""
        replay = self.graphs[graph][1]
        steps = replay.plan.steps
        if all(isinstance(step, Launch) for step in steps):
            return {"share": 1.0}
        spent, pristine = [0.0, 0.0], replay.memory.clone()
        for _ in range(SHARE_ROUNDS):
            replay.memory.copy_(pristine)  # or a kernel that has run here before would know that this is no sample
            torch.cuda._sleep(_SPIN_CYCLES)  # type: ignore[no-untyped-call]  # torch types it not
            events = [new_event() for _ in range(len(steps) + 1)]
            events[0].record()
            replay.results.clear()
            for number in range(len(steps)):
                replay.step(number)
                events[number + 1].record()
            torch.cuda.synchronize()
            for step, before, after in zip(steps, events, events[1:], strict=False):
                spent[isinstance(step, Launch)] += before.elapsed_time(after)
        return {"share": spent[1] / sum(spent) if sum(spent) else 1.0}

    def _replays(self, work: Work, blocks: list[int]) -> list[Replay]:
        for step in work.plan.steps:
            if isinstance(step, TorchCall):
                aten.check(step)
        kernels, size = [self.kernels[name] for name in work.kernels], work.layout.nbytes
        memory = [self.memory[block * size : (block + 1) * size] for block in blocks]
        return [Replay(work.plan, work.layout, part, kernels) for part in memory]


_QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "arena": Replayer.arena,
    "trim": Replayer.trim,
    "warm_up": Replayer.warm_up,
    "load": Replayer.load,
    "run": Replayer.run,
    "record": Replayer.record,
    "sample": Replayer.sample,
    "share": Replayer.share,
}
