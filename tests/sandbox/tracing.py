"""Traces candidates for tests: a warm process that forks one child a request, without isolation, and a plan's executor
for the CPU that knows nothing but torch operators.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from sandbox.plans import aten, plan

ROOT = Path(__file__).parents[2]
SERVER = """
import json, os, sys, tempfile
from pathlib import Path
from sandbox.tracing.tracer import trace, warm
warm()
for request in json.load(sys.stdin):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        folder = Path(tempfile.mkdtemp())
        os.environ["TRITON_CACHE_DIR"] = str(folder)
        print(json.dumps(trace(request, folder, [])), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
os._exit(0)
"""


def trace_all(requests: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """The tracer's replies to all requests. What it leaves behind goes to `folder`."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH") if name in os.environ}
    fixed = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TRITON_DEFAULT_FP_FUSION": "1"}
    environment = {**kept, **fixed, "TMPDIR": str(folder), "HOME": str(folder)}
    answer = subprocess.run(
        [sys.executable, "-c", SERVER],
        cwd=ROOT, input=json.dumps(requests), capture_output=True, text=True, timeout=180, check=False, env=environment,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def request(candidate: str, *tensors: torch.Tensor, entry_point: str = "f", **changes: Any) -> dict[str, Any]:
    """One case whose arguments are tensors like these."""
    arguments = [{"tensor": number} for number in range(len(tensors))]
    model: dict[str, Any] = {"parameters": {}, "constants": {}, "init_arguments": []}
    case = {"tensors": [layout(x) for x in tensors], "arguments": arguments, **model}
    fixed = {"candidate": candidate, "entry_point": entry_point, "target": "sm_90", "ttir": False}
    return {**fixed, "cases": [case], **changes}


def model_request(
    candidate: str, state: dict[str, torch.Tensor], constants: dict[str, float], *tensors: torch.Tensor
) -> dict[str, Any]:
    """`ModelNew` with the reference's weights, which follow the arguments as inputs."""
    asked = request(candidate, *tensors, *state.values(), entry_point="ModelNew")
    case = asked["cases"][0]
    case["arguments"] = case["arguments"][: len(tensors)]
    case["parameters"] = {name: len(tensors) + number for number, name in enumerate(state)}
    case["constants"] = constants
    return asked


def layout(x: torch.Tensor) -> dict[str, Any]:
    dtype = str(x.dtype).removeprefix("torch.")
    return {"dtype": dtype, "shape": list(x.shape), "strides": list(x.stride()), "nbytes": x.numel() * x.element_size()}


def execute(found: plan.Plan, *inputs: torch.Tensor) -> list[torch.Tensor]:
    """Run a plan without launches; memory that nothing writes is NaN. Returns the outputs."""
    memory = [torch.full((b.nbytes,), 0xFF, dtype=torch.uint8) for b in found.buffers]
    for buffer, data in zip(found.buffers, memory, strict=True):
        if buffer.input is not None:
            data.copy_(inputs[buffer.input].contiguous().flatten().view(torch.uint8))

    def view_of(view: plan.View) -> torch.Tensor:
        flat = memory[view.buffer].view(getattr(torch, view.dtype))
        return flat.as_strided(view.shape, view.strides, view.offset)

    for step in found.steps:
        if isinstance(step, plan.TorchCall):
            aten.check(step)
            aten.execute(step, view_of)
        elif isinstance(step, plan.Fill):
            view_of(step.target).fill_(plan.decode_number(step.value))
        elif isinstance(step, plan.Copy):
            view_of(step.target).copy_(view_of(step.source))
        elif isinstance(step, plan.Constant):
            target = view_of(step.target)
            target.copy_(torch.tensor([plan.decode_number(v) for v in step.values]).view(target.shape))
    return [view_of(view) for view in plan.outputs(found.output).views]
