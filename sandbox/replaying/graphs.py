"""Timing by CUDA graphs: one replay runs a piece of work once over every input set, between two events inside it.

Differs from `triton.testing.do_bench`, which times single launches with an event on either side (about 3 µs of that is
the events) and clears the L2 cache by writing to it: here a graph amortises events over all sets, and the cache is
flushed by reading, which leaves no dirty lines for the first kernel to evict. Used by the replayer for candidates and
by the judge for baselines, so that both are timed alike.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from sandbox.replaying import cuda

RELEASE_EVERY = 16
"""Candidates after which `torch.cuda.empty_cache` is due in a process that records graphs: each graph has a pool of its
own, and a graph's end alone gives back neither its memory nor its addresses. With expandable segments a pool reserves
more addresses than the GPU has memory, and a process that never empties its cache runs out of them."""
MAX_CACHED_BYTES = 8 << 30
FLUSH_SHARE = 2
"""Bytes read before each sample, as a multiple of the L2 cache."""


def new_event(external: bool = False) -> torch.cuda.Event:
    """An event that takes the time; `external`: its record is a node of the graph being recorded."""
    return torch.cuda.Event(enable_timing=True, external=external)  # type: ignore[no-untyped-call]  # torch's lack


@cache
def recording_stream() -> torch.cuda.Stream:
    """The one stream of this process on which work is recorded: cuBLAS keeps a workspace for each that it has seen."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's lack


def recordable(work: Callable[[], None]) -> bool:
    """Whether `work` never waits for the device; a recording that fails would leave torch's generators unusable."""
    try:
        torch.cuda.set_sync_debug_mode("error")
        work()
    except RuntimeError:
        return False
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()
    return True


def release_excess() -> None:
    """Give back what this process's allocator keeps for speed, where it is much: the others on the GPU need it too."""
    if torch.cuda.memory_reserved() - torch.cuda.memory_allocated() > MAX_CACHED_BYTES:
        torch.cuda.empty_cache()


class Flush:
    """Reads more memory than the L2 cache holds."""

    def __init__(self) -> None:
        floats = FLUSH_SHARE * torch.cuda.get_device_properties(0).L2_cache_size // 4
        self.ballast = torch.zeros(floats, device="cuda")
        self.sink = torch.zeros((), device="cuda")

    def __call__(self) -> None:
        torch.sum(self.ballast, dim=0, out=self.sink)


class TimedGraph:
    """`work` recorded once; `sample` replays it. `after` is recorded behind the second event and not timed."""

    clock = "CUDA graph over rotating inputs, events inside"

    def __init__(
        self, flush: Flush, work: Callable[[], None],
        after: Callable[[], None] = lambda: None, pool: Any = None,
    ) -> None:  # fmt: skip
        """Args:
        pool: a `torch.cuda.graph_pool_handle()`, whose memory this graph uses; graphs of one pool must not run at the
            same time, and none may count on what it left there. None: one of its own.

        Raises:
        RuntimeError: `work` does something that cannot be recorded, such as waiting for the device.
        """
        self.graph = torch.cuda.CUDAGraph()
        self.start, self.end = (new_event(external=True) for _ in range(2))
        torch.cuda.synchronize()
        stream = recording_stream()
        with torch.cuda.stream(stream):  # by hand: torch.cuda.graph() would empty the allocator's cache every time
            self.graph.capture_begin(pool)
            try:
                flush()
                self.start.record(stream)
                work()
                self.end.record(stream)
                after()
            finally:
                self.graph.capture_end()
        torch.cuda.synchronize()

    def sample(self) -> float:
        """Milliseconds that one replay of `work` took on the GPU."""
        cuda.reset_persisting_l2()
        self.graph.replay()
        torch.cuda.synchronize()
        return float(self.start.elapsed_time(self.end))


class EventTimer:
    """For work that cannot be recorded: run as it is, between two events, launch overhead and all."""

    clock = "CUDA events around direct calls"

    def __init__(self, flush: Flush, work: Callable[[], None]) -> None:
        self.flush, self.work = flush, work

    def sample(self) -> float:
        """Milliseconds that one run of `work` took on the GPU."""
        start, end = (new_event() for _ in range(2))
        self.flush()
        start.record()
        self.work()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end))
