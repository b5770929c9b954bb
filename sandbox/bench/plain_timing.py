"""Triton's own benchmark functions on a task's function: `python -m sandbox.bench.plain_timing TASK`. Needs a GPU.

Prints one JSON line: medians in ms over the rounds of the two functions in short bursts with a rest before each, and of
`do_bench_cudagraph` at its default length, with the clock of the multiprocessors at its end. It trusts the task file.
"""

import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from triton.testing import do_bench, do_bench_cudagraph

from sandbox import task_file
from sandbox.judging.draw import Draw

ROUNDS = 9
REST_SECONDS, BURST_MS = 0.2, 1
"""Bursts as long as a sample of the sandbox, and rests in which the GPU's power falls again."""


def medians(path: Path) -> dict[str, float | None]:
    """Median times of the timed case in ms, and the clock in MHz."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    case = next(case for case in task_file.read(path, "gpu").cases if case.timed)
    drawn = module.make_inputs(dict(case.args), Draw(torch.Generator().manual_seed(0), case.distribution))
    inputs = [value.cuda() if isinstance(value, torch.Tensor) else value for value in drawn]
    function = getattr(module, path.stem)
    function(*inputs)
    torch.cuda.synchronize()

    def work() -> None:
        function(*inputs)

    found: dict[str, list[float]] = {"do_bench": [], "do_bench_cudagraph": []}
    for _ in range(ROUNDS):
        time.sleep(REST_SECONDS)
        found["do_bench"].append(do_bench(work, warmup=BURST_MS, rep=BURST_MS, return_mode="median"))
        time.sleep(REST_SECONDS)
        found["do_bench_cudagraph"].append(do_bench_cudagraph(work, rep=BURST_MS, return_mode="median"))
    sustained = do_bench_cudagraph(work, return_mode="median")
    try:
        clock = torch.cuda.clock_rate()
    except ModuleNotFoundError:  # torch reads it through nvidia-ml-py, which is not everywhere
        clock = None
    return {name: statistics.median(times) for name, times in found.items()} | {
        "sustained": sustained, "sustained_sm_mhz": clock,
    }  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(json.dumps(medians(Path(sys.argv[1]))) + "\n")
