"""Which tasks are worth posing, in both styles of reference; and a hostile reference harms nobody."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_pipeline.probe import Prober
from data_pipeline.task import Provenance, Task
from sandbox import task_file
from sandbox.local import LocalSandbox
from sandbox.task_file import MODEL_CASES
from sandbox.types import Case, Limits, Passed

TASKS = Path(__file__).parents[1] / "tasks"
FUNCTION = """
import torch

def op(x, y):
    return {body}

def make_inputs(case, draw):
    return (draw.normal(case["m"], 33), draw.normal(case["m"], 33))
"""
MODEL = """
import torch

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(16, 8)

    def forward(self, x, y):
        return {body}

def get_inputs():
    return [torch.rand(4, 16), torch.rand(4, 16)]
"""
HOSTILE = """
import os, socket, subprocess, torch

def attempt(function):
    try:
        function()
    except BaseException:
        pass

def write(path):
    with open(path, "w") as file:
        file.write("x")

def harm():
    attempt(lambda: write({file!r}))
    attempt(lambda: socket.create_connection(("127.0.0.1", {port}), timeout=2))
    attempt(lambda: subprocess.run(["/bin/sh", "-c", "echo x > " + {file!r}]))

harm()

def op(x, y):
    harm()
    return x * y

def make_inputs(case, draw):
    harm()
    return (draw.normal(case["m"], 33), draw.normal(case["m"], 33))
"""
PRODUCT = """
import torch
import triton
import triton.language as tl

@triton.jit
def product(x_ptr, y_ptr, z_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x, y = tl.load(x_ptr + at, mask=at < n), tl.load(y_ptr + at, mask=at < n)
    tl.store(z_ptr + at, x * y, mask=at < n)

def op(x, y):
    z = torch.empty_like(x)
    product[(triton.cdiv(x.numel(), 64),)](x, y, z, x.numel(), BLOCK=64)
    return z
"""


BUSY = """
import time

def busy():
    end = time.process_time() + 2.1
    while time.process_time() < end:
        pass
"""


@pytest.fixture(scope="module")
def probe() -> Iterator[Prober]:
    with Prober(workers=1) as prober:
        yield prober


def task(reference: str, name: str = "op", tolerance: str = "T32") -> Task:
    is_model = name == "ModelNew"
    cases = MODEL_CASES if is_model else (Case(name="public", args={"m": 5}), Case(name="ragged", args={"m": 7}))
    return Task(
        id="t", family="f", source=Provenance(origin="x", version="1", licence="MIT"), description="", cases=cases,
        hidden_cases=(), reference=reference, entry_point=name, tolerance=tolerance, difficulty=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("x * y", None),
        ("(x * y, {'sum': x + y})", None),
        ("x + 0 * y", "input 0 handed back passes"),
        ("x * 2 + 1e-9 * y", "ignoring input 1 passes"),
        ("x * 0", "zero passes"),
        ("(x * 0 + 3.0) / 7", "constant along axis"),
        ("x.sub_(1) * y", "changes its inputs"),
        ("x * torch.rand_like(y)", "not deterministic"),
        ("x / (y * 0)", "not finite"),
        ("5", "no tensor"),
        ("x[:0]", "no number"),
        ("undefined + x", "NameError"),
        ("(_ for _ in ()).throw(SystemExit)", "ended the process"),
    ],
)
@pytest.mark.parametrize("style", [FUNCTION, MODEL], ids=["function", "model"])
def test_reasons(style: str, body: str, reason: str | None, probe: Prober) -> None:
    name = "op" if style is FUNCTION else "ModelNew"
    found = probe.examine(task(style.format(body=body), name)).reason
    assert found is None if reason is None else reason in str(found), found


def test_a_layer_with_weights_is_worth_posing(probe: Prober) -> None:
    reference = MODEL.format(body="torch.softmax(self.linear(x), -1) * self.linear(y).sum(-1, keepdim=True)")
    assert probe.examine(task(reference, "ModelNew", "TS")).reason is None


@pytest.mark.parametrize("path", sorted(TASKS.glob("*_model.py")), ids=lambda path: path.stem)
def test_the_sandboxes_own_module_tasks_pass(path: Path, probe: Prober) -> None:
    file = task_file.read(path)
    found = task(file.reference, "ModelNew", file.tolerance).model_copy(update={"cases": file.cases})
    assert probe.examine(found).reason is None


def test_a_reference_has_a_budget_of_time(probe: Prober) -> None:
    slow = FUNCTION.format(body="busy() or x * y") + BUSY
    assert "CPU budget is 2.0 s" in str(probe.examine(task(slow)).reason)
    endless = FUNCTION.format(body="[0 for _ in iter(int, 1)] and x")
    with Prober(workers=1, seconds=3) as short:
        assert "longer than 3 s, the CPU budget" in str(short.examine(task(endless)).reason)


def test_a_reference_has_a_budget_of_memory(probe: Prober) -> None:
    assert "does not run" in str(probe.examine(task(FUNCTION.format(body="x.new_ones(1 << 33).sum() * y"))).reason)


@pytest.mark.parametrize("process", ["quality", "judge"])
def test_a_hostile_reference_harms_nobody(process: str, probe: Prober, sandbox: LocalSandbox, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    file = tmp_path / "harm"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        reference = HOSTILE.format(file=str(file), port=server.getsockname()[1])
        if process == "quality":
            assert probe.examine(task(reference)).reason is None, "it behaves, as far as one can see"
        else:
            job = task(reference).job(PRODUCT, policy="triton_only", targets=(), limits=Limits(), timing=None)
            assert isinstance(sandbox.judge(job), Passed), "it behaves, as far as one can see"
        assert not file.exists()
        with pytest.raises(TimeoutError):
            server.accept()
        subprocess.run([sys.executable, "-c", reference], check=True)
        assert file.exists() and server.accept(), "without isolation it does what it is there for"
