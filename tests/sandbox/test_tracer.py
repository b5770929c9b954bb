"""The tracer process itself: what it pretends, and that it never wakes the GPU's driver."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from tracing import request, trace_all

ROOT = Path(__file__).parents[2]

COUNTING = """
import torch
calls, last = 0, None
def f(x):
    global calls, last
    calls, again, last = calls + 1, x.shape == last, x.shape
    return torch.full_like(x, WHAT)
"""


def run(code: str, folder: Path) -> str:
    """Run code in a fresh process: the tracer patches torch for good. torch leaves caches in `folder`."""
    environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_warming_up_asks_no_driver_and_starts_no_thread(tmp_path: Path) -> None:
    code = """
import os, torch
def alarm(*args): raise AssertionError("the driver was asked")
torch._C._ensureCUDADeviceGuardSet = alarm
from sandbox.tracing.tracer import warm
warm()
print(len(os.listdir("/proc/self/task")))
"""
    assert run(code, tmp_path) == "1"


def test_fake_tensors_claim_to_be_on_the_gpu_and_views_are_not_all_aligned(tmp_path: Path) -> None:
    code = """
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from sandbox.tracing.fake_cuda import FakeCuda, pretend_cuda
pretend_cuda()
with FakeTensorMode(), FakeCuda():
    x = torch.empty(8, 4, device="cuda")
    assert x.is_cuda and x.device == torch.device("cuda", 0) and not x.is_cpu and x.get_device() == 0
    assert x.to("cuda:0").device.type == "cuda" and torch.zeros_like(x[1:, ::2]).t().contiguous().is_cuda
    assert torch.nn.functional.linear(x, torch.empty(3, 4, device=x.device)).shape == (8, 3)
    assert x.data_ptr() % 16 == 0 and x[0, 1:].data_ptr() % 16 == 4
    y = torch.empty_like(x)
    assert x[:].data_ptr() == x.data_ptr() != y.data_ptr() < 2**63
    assert torch.cuda.get_device_properties(x.device).multi_processor_count > 0
print("fine")
"""
    assert run(code, tmp_path) == "fine"


def test_memory_is_where_it_was_asked_for(tmp_path: Path) -> None:
    code = """
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from sandbox.tracing.fake_cuda import FakeCuda, pretend_cuda
pretend_cuda()
with FakeTensorMode(), FakeCuda():
    x, host = torch.empty(8, 4, device="cuda"), torch.zeros(4)
    for there in (x, x.T, x * 2, x.clone(), torch.empty_like(x), x.new_zeros(2), torch.tensor([1.0]).to(x.device),
                  torch.tensor([1.0]).cuda(), torch.ones(2).to(x), x + torch.tensor(1.0), x.cpu().to(0)):
        assert there.is_cuda and there.device.type == "cuda", there
    with torch.device("cuda"):
        assert torch.empty(4).is_cuda and not torch.empty(4, device="cpu").is_cuda
    torch.set_default_device("cuda")
    assert torch.empty(4).is_cuda and torch.tensor([1.0]).is_cuda and torch.arange(3).is_cuda
    torch.set_default_device("cpu")
    assert torch.empty(4).is_cpu
    for here in (host, host[1:], host.exp(), torch.empty_like(host), torch.arange(3), torch.tensor([1, 2]), x.cpu(),
                 x.to("cpu"), x.to(host), x.new_empty(3, device="cpu"), torch.empty(2, device=host.device)):
        assert not here.is_cuda and here.is_cpu and here.device.type == "cpu" and here.get_device() == -1, here
    assert x.is_cuda, "a copy has moved, not the tensor"
    try:
        torch.empty(4, device="cuda:1")
    except RuntimeError as error:
        assert "invalid device ordinal" in str(error)
    else:
        raise AssertionError("there is one GPU")
print("fine")
"""
    assert run(code, tmp_path) == "fine"


def test_cases_are_called_in_order_and_then_again_twice_in_a_row_each(tmp_path: Path) -> None:
    def asked(what: str) -> dict[str, Any]:
        one, other = (request(COUNTING.replace("WHAT", what), torch.ones(n)) for n in (3, 5))
        return {**one, "cases": one["cases"] + other["cases"]}

    def filled(plan: dict[str, Any] | None) -> float | None:
        return None if plan is None else plan["steps"][0]["value"]

    found = trace_all([asked("calls"), asked("float(again)")], tmp_path)
    counts = [[filled(plan) for plan in reply["plans"]] for reply in found]
    others = [[[filled(plan) for plan in plans] for plans in reply["others"]] for reply in found]
    assert counts == [[3, 5], [0, 0]] and others == [[[1, 4], [2, 6]], [[None, 1], [None, 1]]]


def test_a_device_is_of_the_target_that_is_traced_for(tmp_path: Path) -> None:
    code = """
import torch
def f(x):
    found = torch.cuda.get_device_properties(x.device)
    major, minor = torch.cuda.get_device_capability()
    return torch.full_like(x, 1000 * found.warp_size + 10 * major + minor)
"""
    expected = {"sm_80": 32080, "sm_90": 32090, "sm_100": 32100, "gfx942": 64094, "gfx950": 64095}
    found = trace_all([request(code, torch.ones(3), target=target) for target in expected], tmp_path)
    assert [reply["plans"][0]["steps"][0]["value"] for reply in found] == list(expected.values())
