"""The supervisor: verdicts a person can act on, faults of ours never blamed on a candidate, nothing left behind."""

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import pytest
import triton

from sandbox import references, trial
from sandbox.bench import corpus
from sandbox.local import LocalSandbox
from sandbox.pool import Helper, Outcome, run_untrusted
from sandbox.types import TOLERANCES, Broken, Case, Job, Limits, Passed, Rejected, Target

TASK = """
import torch
def make_inputs(case, draw):
    return (draw.normal(case["n"]),)
def double(x):
    return x * 2
"""
CANDIDATE = """
import torch, triton
import triton.language as tl

@triton.jit
def kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(y_ptr + at, x * 2, mask=at < n)

def double(x):
    y = torch.empty_like(x)
    kernel[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), BLOCK=64)
    return y
"""
CASES = (Case(name="small", args={"n": 64}), Case(name="ragged", args={"n": 77}, hidden=True))


def job(candidate: str = CANDIDATE, reference: str = TASK, **changes: object) -> Job:
    asked = Job(
        reference=reference, candidate=candidate, entry_point="double", cases=CASES, tolerance=TOLERANCES["T32"]
    )
    return asked.model_copy(update=changes)


def test_a_right_kernel_passes(sandbox: LocalSandbox) -> None:
    verdict = asyncio.run(sandbox.run(job()))
    assert isinstance(verdict, Passed), verdict
    assert [c.name for c in verdict.cases] == ["small", "ragged"]
    assert verdict.timings is None, "interpreter time must never be presented as speed"


def test_a_configuration_that_is_wrong_on_a_hidden_case_fails_without_a_word(
    sandbox: LocalSandbox,
) -> None:
    tune = '@triton.autotune(configs=[triton.Config({"OFF": off}) for off in (0, 1)], key=["n"])\n@triton.jit'
    tuned = CANDIDATE.replace("@triton.jit", tune).replace("BLOCK: tl", "OFF: tl.constexpr, BLOCK: tl")
    assert isinstance(sandbox.judge(job(tuned)), Passed)
    verdict = sandbox.judge(job(tuned.replace("x * 2, mask", "x * 2 + OFF * (n - 64), mask")))
    assert isinstance(verdict, Rejected) and verdict.stage == "numerics"
    assert verdict.reason == "fails on a hidden case" and verdict.log == "" and verdict.cases_right is None


def test_a_hidden_case_fails_without_a_word_about_it(sandbox: LocalSandbox) -> None:
    unmasked_tail = CANDIDATE.replace("triton.cdiv(x.numel(), 64)", "x.numel() // 64")
    verdict = sandbox.judge(job(unmasked_tail))
    assert isinstance(verdict, Rejected) and verdict.stage == "numerics"
    assert verdict.reason == "fails on a hidden case" and verdict.log == ""
    assert verdict.cases_right == (1, 2)


def test_a_wrong_kernel_is_told_how_wrong(sandbox: LocalSandbox) -> None:
    verdict = sandbox.judge(job(CANDIDATE.replace("x * 2", "x * 3")))
    assert isinstance(verdict, Rejected) and verdict.stage == "numerics"
    assert "case small: output 0: relative L2 error 5.00e-01" in verdict.reason


def test_invalid_triton_is_a_compile_error_with_its_line(sandbox: LocalSandbox) -> None:
    verdict = sandbox.judge(job(CANDIDATE.replace("tl.arange(0, BLOCK)", "tl.arange(0, 63)")))
    assert isinstance(verdict, Rejected) and verdict.stage == "compile"
    assert "power of 2" in verdict.reason


@pytest.mark.skipif(
    tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7), reason="this Triton itself takes no *pointers"
)
def test_a_kernel_takes_any_number_of_pointers(sandbox: LocalSandbox) -> None:
    starred = CANDIDATE.replace("(x_ptr, y_ptr, n, BLOCK: tl.constexpr)", "(n, BLOCK: tl.constexpr, *pointers)")
    starred = starred.replace("x_ptr", "pointers[0]").replace("y_ptr", "pointers[1]")
    starred = starred.replace("(x, y, x.numel(), BLOCK=64)", "(x.numel(), 64, x, y)")
    assert isinstance(sandbox.judge(job(starred)), Passed)


def test_an_address_is_no_tensor_to_a_kernel(sandbox: LocalSandbox) -> None:
    verdict = sandbox.judge(job(CANDIDATE.replace("](x, y,", "](x.data_ptr(), y.data_ptr(),")))
    assert isinstance(verdict, Rejected) and verdict.stage == "plan", verdict
    assert verdict.reason == "argument 'x_ptr' of kernel kernel is an address as a number; pass the tensor itself"


def test_a_candidate_exception_comes_with_its_traceback(sandbox: LocalSandbox) -> None:
    verdict = sandbox.judge(job(CANDIDATE.replace("y = torch.empty_like(x)", "y = missing(x)")))
    assert isinstance(verdict, Rejected) and verdict.stage == "trace"
    assert "NameError: name 'missing' is not defined" in verdict.reason and "in double" in verdict.log


def test_who_wants_gradients_is_told_that_nobody_records_them(sandbox: LocalSandbox) -> None:
    backward = CANDIDATE.replace("    return y\n", "    y.backward(y)\n    return y\n")
    verdict = sandbox.judge(job(backward))
    assert isinstance(verdict, Rejected) and verdict.stage == "trace"
    assert "torch.enable_grad()" in verdict.reason


def test_a_kernel_that_reads_outside_is_told_where(sandbox: LocalSandbox) -> None:
    ragged = (Case(name="ragged", args={"n": 77}),)
    verdict = sandbox.judge(job(CANDIDATE.replace("at, mask=at < n)", "at)"), cases=ragged))
    assert isinstance(verdict, Rejected) and verdict.stage == "launch", verdict
    assert "reads outside" in verdict.reason and "(kernel kernel at `x = tl.load(x_ptr + at)`)" in verdict.reason


def test_a_slow_kernel_times_out(sandbox: LocalSandbox) -> None:
    slow = CANDIDATE.replace("tl.store(", "for i in range(100000000):\n        x += 1.0\n    tl.store(")
    verdict = sandbox.judge(job(slow, limits=Limits(run_seconds=1.0)))
    assert isinstance(verdict, Rejected) and verdict.stage == "timeout"
    assert verdict.reason.endswith("let fewer of them do more")


@pytest.mark.parametrize("cases", [CASES, CASES[:1], CASES[1:]])
def test_a_hang_costs_its_time_once_and_repeats_no_word(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch, cases: tuple[Case, ...]
) -> None:
    children: list[float] = []

    def counted(zygote: Helper, request: dict[str, Any], seconds: float, *rest: Any) -> Outcome:
        children.append(seconds)
        return run_untrusted(zygote, request, seconds, *rest)

    monkeypatch.setattr(trial, "run_untrusted", counted)
    hanging = CANDIDATE.replace("    y = torch", "    print(x.shape, flush=True)\n    while True: pass\n    y = torch")
    verdict = sandbox.judge(job(hanging, cases=cases, limits=Limits(trace_seconds=1.5)))
    assert isinstance(verdict, Rejected) and verdict.stage == "timeout" and children == [1.5]
    assert verdict.reason == "still running after 1.5 s in stage trace" and verdict.log == ""


def test_plans_may_be_as_long_however_many_cases_there_are(sandbox: LocalSandbox) -> None:
    launch = next(line for line in CANDIDATE.splitlines() if line.startswith("    kernel["))
    many = CANDIDATE.replace("n, BLOCK", f"n, {', '.join(f'a{i}' for i in range(40))}, BLOCK")
    often = f"    for _ in range(150):\n    {launch.replace('BLOCK=', '2.5, ' * 40 + 'BLOCK=')}"
    verdict = sandbox.judge(job(many.replace(launch, often), cases=(*CASES, Case(name="odd", args={"n": 13}))))
    assert isinstance(verdict, Passed), verdict


def test_what_a_reference_prints_reaches_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    sandbox = LocalSandbox(workers=1)
    try:
        words = "    print(x, flush=True)\n    __import__('warnings').warn('careful')\n"
        chatty = TASK.replace("    return x * 2", f"{words}    return x * 2")
        assert sandbox.judge(job(reference=chatty)).kind == "passed"
    finally:
        sandbox.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "reference",
    [
        "raise RuntimeError('no GPU here')",
        TASK.replace("x * 2", "x.no_such_method()"),
        TASK.replace("def double", "def other"),
        "def (",
    ],
)
def test_a_broken_task_is_our_fault(sandbox: LocalSandbox, reference: str) -> None:
    verdict = sandbox.judge(job(reference=reference))
    assert verdict.kind == "broken" and "reference failed" in verdict.reason


def test_killed_helpers_are_our_fault_and_are_replaced() -> None:
    sandbox = LocalSandbox(workers=1)
    try:
        assert sandbox.judge(job()).kind == "passed"
        for helper in (sandbox.tracer, sandbox.interpreter, sandbox._all_judges[0]):
            assert helper._process is not None
            os.kill(helper._process.pid, signal.SIGKILL)
            helper._process.wait()
            assert sandbox.judge(job()).kind in ("passed", "broken")
            assert sandbox.judge(job()).kind == "passed"
    finally:
        sandbox.close()


@pytest.mark.parametrize("name", ["c_flag_stored_plainly", "c_race_on_output", "c_lost_updates_behind_wait"])
def test_a_rehearsal_sees_races_that_may_come_out_right_on_a_gpu(sandbox: LocalSandbox, name: str) -> None:
    asked = corpus.job(corpus.read_candidate(corpus.EXPLOITS / f"{name}.py"), Limits(), "gpu")
    verdict = sandbox.judge(asked.model_copy(update={"cases": asked.rehearsal, "rehearsal": ()}))
    assert isinstance(verdict, Rejected), verdict


def test_nothing_is_left_behind_after_closing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    shared = set(Path("/dev/shm").iterdir())
    sandbox = LocalSandbox(workers=2)
    assert sandbox.judge(job()).kind == "passed"
    processes = [h._process for h in (sandbox.tracer, sandbox.interpreter, *sandbox._all_judges) if h._process]
    sandbox.close()
    assert processes and all(p.poll() is not None for p in processes)
    assert not list(tmp_path.iterdir())
    assert set(Path("/dev/shm").iterdir()) <= shared


def test_closing_waits_for_nothing_that_is_still_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sandbox = LocalSandbox(workers=2)
    assert isinstance(sandbox.judge(job()), Passed)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(sandbox.judge, job(reference=f"import time\ntime.sleep(600)\n{TASK}"))
        while not any(judge.lock.locked() for judge in sandbox._all_judges):
            time.sleep(0.05)
        started = time.monotonic()
        sandbox.close()
        assert isinstance(running.result(timeout=20), Broken) and time.monotonic() - started < 20
    assert not list(tmp_path.iterdir())
    assert isinstance(sandbox.judge(job()), Broken), "a closed sandbox starts nothing"


PRODUCT = """
import torch, triton
import triton.language as tl

@triton.autotune([triton.Config({"K": k}) for k in SIZES], key=[])
@triton.jit
def kernel(x_ptr, y_ptr, n, K: tl.constexpr):
    at, total = tl.arange(0, 32), tl.zeros((32, 32), tl.float32)
    for first in range(0, n, K):
        k = first + tl.arange(0, K)
        x = tl.load(x_ptr + at[:, None] * n + k[None, :], mask=k[None, :] < n, other=0.0)
        total = tl.dot(x, tl.trans(x), total)
    tl.store(y_ptr + at[:, None] * 32 + at[None, :], total)

def double(x):
    y = torch.empty(32, 32, device=x.device)
    kernel[(1,)](x, y, x.shape[1])
    return y
"""


@pytest.mark.parametrize(("sizes", "said"), [((1024, 32), ""), ((1024,), "out of shared memory")])
def test_a_configuration_that_a_target_has_no_room_for_is_passed_over(
    sandbox: LocalSandbox, sizes: tuple[int, ...], said: str
) -> None:
    task = TASK.replace('case["n"]', '32, case["n"]').replace("x * 2", "x @ x.T")
    verdict = sandbox.judge(
        job(PRODUCT.replace("SIZES", str(sizes)), task, targets=("sm_90",), tolerance=TOLERANCES["TT"])
    )
    assert (said in verdict.reason) if isinstance(verdict, Rejected) else not said, verdict


def test_every_kernel_of_public_cases_is_compiled_for_the_targets(sandbox: LocalSandbox) -> None:
    head, body = CANDIDATE.split("def double(x):\n")
    other = head[head.index("@triton.jit") :].replace("def kernel", "def other")
    chosen = body.replace("kernel[", "(kernel if x.numel() == 64 else other)[")
    cases = (*CASES, Case(name="large", args={"n": 128}), Case(name="again", args={"n": 130}))
    verdict = sandbox.judge(job(f"{head}{other}def double(x):\n{chosen}", cases=cases, targets=("sm_90", "gfx942")))
    assert isinstance(verdict, Passed), verdict
    assert [(s.kernel, s.target) for s in verdict.static] == [
        (kernel, target) for target in ("sm_90", "gfx942") for kernel in ("kernel", "other")
    ]


@pytest.mark.parametrize("name", references.names())
def test_expert_passes_and_compiles_for_nvidia_and_amd(sandbox: LocalSandbox, name: str) -> None:
    task = references.load(name, "cpu")
    verdict = sandbox.judge(
        Job(
            reference=task.reference, candidate=task.expert, entry_point=task.entry_point, cases=task.cases,
            tolerance=TOLERANCES[task.tolerance], mutates=task.mutates, targets=get_args(Target),
        )
    )  # fmt: skip
    assert isinstance(verdict, Passed), verdict
    assert {s.target for s in verdict.static} == set(get_args(Target))
    assert all(s.shared_bytes <= 64 << 10 for s in verdict.static if s.target == "gfx942")
    assert all(s.registers > 0 and sum(s.instructions.values()) > 0 for s in verdict.static)
