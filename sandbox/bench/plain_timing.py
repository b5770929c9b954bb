"""Triton's own benchmark functions on a task's function: `python -m sandbox.bench.plain_timing TASK`. Needs a GPU.

Prints one JSON line with medians in ms over five rounds, the two functions in turn. It trusts the task file.
"""

import importlib.util
import json
import statistics
import sys
from pathlib import Path

import torch
from triton.testing import do_bench, do_bench_cudagraph

from sandbox import task_file
from sandbox.draw import Draw

ROUNDS = 5


def medians(path: Path) -> dict[str, float]:
    """Median times of the timed case in ms."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    case = next(case for case in task_file.read(path, "gpu").cases if case.timed)
    drawn = module.make_inputs(dict(case.args), Draw(torch.Generator().manual_seed(0), case.distribution))
    inputs = [value.cuda() if isinstance(value, torch.Tensor) else value for value in drawn]
    function = getattr(module, path.stem)
    function(*inputs)
    found: dict[str, list[float]] = {"do_bench": [], "do_bench_cudagraph": []}
    for _ in range(ROUNDS):
        found["do_bench"].append(do_bench(lambda: function(*inputs), return_mode="median"))
        found["do_bench_cudagraph"].append(do_bench_cudagraph(lambda: function(*inputs), return_mode="median"))
    return {name: statistics.median(times) for name, times in found.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(medians(Path(sys.argv[1]))) + "\n")
