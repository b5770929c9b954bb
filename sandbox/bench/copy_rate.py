"""How fast this GPU copies: `python -m sandbox.bench.copy_rate`. Needs a GPU.

Prints one JSON line: `copy_bytes_per_ms`, read and written bytes of a large copy by its median time, and
`nominal_bytes_per_ms`, what clock and width of the memory promise (which the roofline is made of).
"""

import json
import statistics
import sys

import torch
from triton.testing import do_bench_cudagraph

from sandbox import cuda

NBYTES, ROUNDS = 2 << 30, 5


def measure() -> dict[str, float]:
    source = torch.ones(NBYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    times = [do_bench_cudagraph(lambda: target.copy_(source), return_mode="median") for _ in range(ROUNDS)]
    return {
        "copy_bytes_per_ms": 2 * NBYTES / statistics.median(times),
        "nominal_bytes_per_ms": cuda.machine().bytes_per_ms,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
