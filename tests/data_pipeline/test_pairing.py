"""Kernels with references, out of packages written here: nothing is imported, and nothing is believed unrun."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_pipeline.families import family_of_name
from data_pipeline.harvest import harvest_archive
from data_pipeline.pairing.guessed_inputs import MOST, Argument, hypotheses
from data_pipeline.pairing.pair import Pair
from data_pipeline.pairing.settle import Outcome, pairs, settle, settled
from data_pipeline.pairing.torch_operators import operators
from data_pipeline.probe import Prober
from data_pipeline.sources import Checks
from data_pipeline.task import Kernel, Provenance, Task
from data_pipeline.verify import Judging
from sandbox.local import LocalSandbox
from sandbox.screen import screen
from sandbox.types import Passed, Rejected

SETTINGS = """
import os
import logging

logger = logging.getLogger(__name__)
BLOCK = int(os.environ.get("DEMO_BLOCK", "128"))

def guard(function):
    return function

def is_hip():
    import subprocess
    return subprocess.run(["rocminfo"]).returncode == 0
"""
SOFTCAP = '''
raise SystemExit("this module must never be imported")

import torch
import triton
import triton.language as tl
from ..settings import BLOCK, guard, is_hip, logger
from demo import settings as s

@triton.jit
def squashed(x, cap):
    # odd in x
    return cap * (2 * tl.sigmoid(2 * x / cap) - 1)

@triton.jit
def _softcap_kernel(X, Y, n, cap, SIZE: tl.constexpr):
    offsets = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    mask = offsets < n
    tl.store(Y + offsets, squashed(tl.load(X + offsets, mask=mask), cap), mask=mask)

@guard
def softcap(x, cap: float):
    """Squashes scores smoothly into (-cap, cap)."""
    logger.debug("SOFTCAP")
    y = torch.empty_like(x)
    size = s.BLOCK // 2 if is_hip() else BLOCK
    _softcap_kernel[(triton.cdiv(x.numel(), size),)](x, y, x.numel(), cap, SIZE=size)
    return y
'''
REFERENCES = """
import torch

SCALE = 1.0

def softcap_ref(x, cap):
    return cap * torch.tanh(x / cap) * SCALE

def negate_ref(x, sign, table):
    return -x * sign * table

def offset_ref(x):
    from demo.ops.wrong import offset
    return offset(x)

def halve_ref(x):
    return x / 2
"""
WRONG = """
import requests
import torch
import triton
import triton.language as tl

@triton.jit
def shift(X, Y, n, by, SIZE: tl.constexpr):
    offsets = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    tl.store(Y + offsets, tl.load(X + offsets, mask=offsets < n) + by, mask=offsets < n)

def negate(x):
    y = torch.empty_like(x)
    shift[(1,)](x, y, x.numel(), 1.0, SIZE=1024)
    return y

def offset(x):
    return negate(x)

def halve(x):
    y = torch.empty_like(x)
    shift[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), 1.0, SIZE=1024)
    return y

def exp(x):
    requests.get("http://example.org")
    return negate(x)
"""
GENERATED = """
import triton
import triton.language as tl
from demo.dynamic import pointwise_dynamic

@pointwise_dynamic(is_tensor=[True, True, False], promotion_methods=[(0, 1, "DEFAULT")])
@triton.jit
def blend(a, b, share):
    return a + share * (b - a)

def lerp(input, end, weight):
    return blend(input, end, weight)

def swiglu_forward(a, b):
    return activate(a, b)

@pointwise_dynamic(promotion_methods=[(0, 1, "DEFAULT")])
@triton.jit
def activate(a, b):
    return a * tl.sigmoid(a) * b
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wheel") / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("demo/__init__.py", "")
        wheel.writestr("demo/settings.py", SETTINGS)
        wheel.writestr("demo/ops/softcap.py", SOFTCAP)
        wheel.writestr("demo/ops/references.py", REFERENCES)
        wheel.writestr("demo/ops/wrong.py", WRONG)
        wheel.writestr("demo/ops/generated.py", GENERATED)
    return path


@pytest.fixture(scope="module")
def found(archive: Path) -> dict[str, Pair]:
    return {pair.launcher.name: pair for pair in reversed(list(pairs(archive)))}


SOURCE = Provenance(origin="package:demo", version="1.0", licence="MIT")
EASY = Checks(lambda tasks: [None] * len(tasks), lambda task, solution: None, 1)
"""Believes everything."""


@pytest.fixture(scope="module")
def real(sandbox: LocalSandbox) -> Iterator[Checks]:
    """The isolated quality process and the session's sandbox."""

    def passes(task: Task, solution: str) -> str | None:
        judging = Judging()
        job = task.job(solution, policy=judging.policy, targets=(), limits=judging.limits, timing=None)
        verdict = sandbox.judge(job)
        assert isinstance(verdict, Passed | Rejected), verdict
        return None if isinstance(verdict, Passed) else verdict.reason

    with Prober(2) as prober:
        yield Checks(lambda tasks: [prober.examine(task).reason for task in tasks], passes, 2)


def test_each_mechanism_finds_its_pair_and_no_other(found: dict[str, Pair]) -> None:
    assert {name: pair.mechanism for name, pair in found.items()} == {
        "softcap": "sibling", "halve": "sibling", "exp": "torch", "lerp": "torch", "swiglu_forward": "formula",
    }  # fmt: skip
    assert found["softcap"].where == "demo/ops/references.py:6"
    assert found["lerp"].where == "torch.lerp"


def test_a_launcher_that_needs_what_a_candidate_may_not_have_is_named(found: dict[str, Pair]) -> None:
    assert found["exp"].solutions == () and found["exp"].unsliceable == "needs requests"


def test_a_candidate_stands_alone_and_keeps_comments(found: dict[str, Pair]) -> None:
    (code, _) = found["softcap"].solutions
    for part in (
        "# odd in x",
        "BLOCK = int('128')",
        "def is_hip(*args):\n    return False",
        "@triton.jit\ndef squashed",
    ):
        assert part in code
    for part in ("demo", "logger", "guard", "environ", "subprocess"):
        assert part not in code
    task, _ = _first(found["softcap"])
    job = task.job(code, policy="triton_only", targets=(), limits=Judging().limits, timing=None)
    assert not isinstance(screen(job), Rejected)


def test_a_generated_launcher_is_written_out(found: dict[str, Pair]) -> None:
    (code,) = found["lerp"].solutions
    assert "@triton.jit\ndef blend_element(a, b, share):" in code and "pointwise_dynamic" not in code
    assert "blend_kernel[" in code and "torch.result_type(a, b)" in code


def test_pairs_become_verified_tasks(archive: Path, real: Checks) -> None:
    outcomes = {o.pair.launcher.name: o for o in settled(archive, SOURCE, "demo", real)}
    solved = {name for name, outcome in outcomes.items() if outcome.solution}
    assert solved == {"softcap", "lerp", "swiglu_forward"}, {n: o.reason for n, o in outcomes.items()}
    task = outcomes["softcap"].task
    assert task is not None and task.source.licence == "MIT" and task.source.origin == "package:demo"
    assert task.source.path == "demo/ops/softcap.py:22 with demo/ops/references.py:6"
    assert task.description == "Squashes scores smoothly into (-cap, cap)."
    assert "SCALE = 1.0" in task.reference and task.hidden_cases


def test_a_kernel_that_is_wrong_leaves_a_task_without_solution(found: dict[str, Pair], real: Checks) -> None:
    outcome = settle(found["halve"], SOURCE, "demo", real)
    assert outcome.task is not None and outcome.solution == "" and "relative L2 error" in outcome.reason


def test_a_reference_that_quality_refuses_on_every_guess_makes_no_task(found: dict[str, Pair], real: Checks) -> None:
    constant = found["halve"]._replace(reference="import torch\n\ndef halve(x):\n    return torch.zeros_like(x)\n")
    outcome = settle(constant, SOURCE, "demo", real)
    assert outcome.task is None and "zero passes" in outcome.reason


def test_harvest_gives_kernels_and_tasks(archive: Path) -> None:
    assert all(isinstance(p, Kernel) and p.kind == "text" for p in harvest_archive(archive, SOURCE, "demo", None))
    proposals = harvest_archive(archive, SOURCE, "demo", EASY)
    kernels = {p.name: p.kind for p in proposals if isinstance(p, Kernel)}
    assert kernels["_softcap_kernel"] == kernels["squashed"] == "paired"
    tasks = {p[0].entry_point: p[1] for p in proposals if isinstance(p, tuple)}
    assert set(tasks) == {"softcap", "halve", "exp", "lerp", "swiglu_forward"}
    assert tasks["exp"] == "" and "softcap" in tasks["softcap"]


def test_guesses_are_bounded_and_take_stated_shapes() -> None:
    guesses = list(hypotheses([Argument("q", "tensor", ("B", "T", "H", "K")), Argument("g", "tensor")]))
    assert 10 < len(guesses) <= MOST
    assert "draw.normal(B, T, H, K), -draw.uniform(B, T, H, " in guesses[0].source
    assert {case.hidden for case in guesses[0].hidden} == {True}
    assert not list(hypotheses([Argument("dim", "int")]))


def test_operators_of_torch_are_read_with_their_arguments() -> None:
    (softmax,) = operators()["softmax"]
    assert softmax.call == "torch.softmax" and [a.name for a in softmax.arguments] == ["self", "dim", "dtype"]
    assert {o.call for o in operators()["gelu"]} == {"torch.nn.functional.gelu"}
    assert "relu_" not in operators(), "changes its argument"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("naive_attention", "attention"), ("rms_norm", "normalisation"), ("amax", "reduction"), ("tanh", "elementwise"),
     ("addmm", "matmul"), ("cross_entropy_loss", "loss")],
)  # fmt: skip
def test_families(name: str, expected: str) -> None:
    assert family_of_name(name) == expected


def _first(pair: Pair) -> tuple[Task, str]:
    outcome: Outcome = settle(pair, SOURCE, "demo", EASY)
    assert outcome.task is not None
    return outcome.task, outcome.solution
