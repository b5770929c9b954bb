"""How fast this GPU copies: `python -m sandbox.bench.copy_rate`. Needs a GPU.

Prints one JSON line: `copy_bytes_per_ms`, read and written bytes of a large copy by its median time, and
`nominal_bytes_per_ms` and `nominal_flops_per_ms`, what clocks and widths promise (which the roofline is made of). The
copy is timed with events and not as a CUDA graph: there it becomes a node for the copy engine, which is slower than
what the multiprocessors do. An elementwise kernel copies too; the better of both counts.
"""

import json
import statistics
import sys

import torch
from triton.testing import do_bench

from sandbox.replaying import cuda

NBYTES, ROUNDS = 2 << 30, 5


def measure() -> dict[str, float]:
    source = torch.randn(NBYTES // 4, device="cuda")
    target = torch.empty_like(source)
    ways = (lambda: target.copy_(source), lambda: torch.neg(source, out=target))
    times = [statistics.median(do_bench(way, return_mode="median") for _ in range(ROUNDS)) for way in ways]
    return {
        "copy_bytes_per_ms": 2 * NBYTES / min(times),
        "nominal_bytes_per_ms": cuda.machine().bytes_per_ms,
        "nominal_flops_per_ms": cuda.machine().flops_per_ms,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
