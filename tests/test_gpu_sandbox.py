"""The sandbox's GPU tier on a real GPU: replay, timing, faults and recovery. `make gpu-test`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.bench import corpus, host
from sandbox.gpu_pool import PAIRS
from sandbox.local import LocalSandbox
from sandbox.types import Broken, Case, Job, Limits, Passed, Rejected, TimingRequest

pytestmark = pytest.mark.gpu
LIMITS = Limits(gpu_seconds=3.0)
SPIN = """
import torch, triton
import triton.language as tl

@triton.jit
def spin_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=1.0)
    while tl.sum(x) == tl.sum(x):
        x += 1e-30
    tl.store(y_ptr + at, x, mask=at < n)

def softmax(x):
    y = torch.empty_like(x)
    spin_kernel[(triton.cdiv(x.numel(), 128),)](x, y, x.numel(), BLOCK=128)
    return y
"""
SHOW = """
import torch, triton
import triton.language as tl

@triton.jit
def show_kernel(mark_ptr):
    seen = tl.load(mark_ptr) == 20260101
    n = tl.load(mark_ptr + 1)
    if seen:
        for _ in range(300_000):
            n = (n * 1664525 + 1013904223) ^ (n >> 7)
    tl.store(mark_ptr + 1, n)
    tl.store(mark_ptr, 20260101)

def softmax(x):
    mark = torch.empty(2, dtype=torch.int32, device=x.device)
    show_kernel[(1,)](mark)
    return torch.softmax(x, -1)
"""
TORCH_ONLY = "import torch\n\ndef softmax(x):\n    return torch.softmax(x, -1)\n"


@pytest.fixture(scope="module")
def gpu_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSandbox]:
    sandbox = LocalSandbox(workers=2, gpus=1)
    yield sandbox
    sandbox.close()


def softmax_job(code: str | None = None, **changes: object) -> Job:
    candidate = corpus.read_candidate(corpus.HONEST / "plain_softmax.py")
    job = corpus.job(candidate, LIMITS, "gpu")
    return job.model_copy(update={**({} if code is None else {"candidate": code}), **changes})


def test_a_right_kernel_passes_and_is_timed(gpu_sandbox: LocalSandbox) -> None:
    verdict = gpu_sandbox.judge(softmax_job())
    assert isinstance(verdict, Passed) and verdict.timings, verdict
    (timing,) = verdict.timings
    assert 0 < timing.roofline_ms <= timing.candidate_ms
    assert timing.ratio_low <= timing.ratio <= timing.ratio_high
    assert verdict.coverage == 1.0 and len(verdict.cases) == 5


def test_a_reference_that_loses_its_context_costs_one_verdict(gpu_sandbox: LocalSandbox) -> None:
    """A judge whose context is gone must be replaced, or whatever it is asked next is Broken too."""
    reads_outside = (
        "import torch\n\ndef softmax(x):\n    return x.flatten()[torch.full((4,), 1 << 40, device=x.device)]\n\n"
        "def make_inputs(case, draw):\n    return (draw.normal(4, 4),)\n"
    )
    lost = softmax_job(reference=reads_outside, cases=(Case(name="any"),), rehearsal=(), timing=None)
    assert isinstance(gpu_sandbox.judge(lost), Broken)
    assert all(isinstance(gpu_sandbox.judge(softmax_job(timing=None)), Passed) for _ in range(PAIRS + 1))


def test_without_a_request_nothing_is_timed(gpu_sandbox: LocalSandbox) -> None:
    verdict = gpu_sandbox.judge(softmax_job(timing=None))
    assert isinstance(verdict, Passed) and verdict.timings is None


def test_the_compiled_baseline_is_measured_beside_eager(gpu_sandbox: LocalSandbox) -> None:
    verdict = gpu_sandbox.judge(softmax_job(timing=TimingRequest(runs=10, baselines=("eager", "compile"))))
    assert isinstance(verdict, Passed) and verdict.timings
    assert [timing.baseline for timing in verdict.timings] == ["eager", "compile"]


def test_a_wrong_kernel_is_rejected(gpu_sandbox: LocalSandbox) -> None:
    code = softmax_job().candidate.replace("e / tl.sum(e, axis=0)", "e / tl.sum(e, axis=0) * 1.001")
    verdict = gpu_sandbox.judge(softmax_job(code))
    assert isinstance(verdict, Rejected) and verdict.stage == "numerics"


def test_a_device_fault_is_the_kernels_and_the_next_kernel_passes(gpu_sandbox: LocalSandbox) -> None:
    code = softmax_job().candidate.replace("tl.store(out_ptr +", "tl.store(out_ptr + (1 << 38) +")
    verdict = gpu_sandbox.judge(softmax_job(code, rehearsal=()))
    assert isinstance(verdict, Rejected) and verdict.stage == "launch", verdict
    for _ in range(3):
        assert isinstance(gpu_sandbox.judge(softmax_job()), Passed)
    assert gpu_sandbox.restarts()


def test_a_kernel_that_never_ends_is_a_timeout_and_the_next_kernel_passes(gpu_sandbox: LocalSandbox) -> None:
    verdict = gpu_sandbox.judge(softmax_job(SPIN, rehearsal=()))
    assert isinstance(verdict, Rejected) and verdict.stage == "timeout", verdict
    for _ in range(3):
        assert isinstance(gpu_sandbox.judge(softmax_job()), Passed)


def test_torch_alone_is_refused_or_equals_the_baseline_by_policy(gpu_sandbox: LocalSandbox) -> None:
    refused = gpu_sandbox.judge(softmax_job(TORCH_ONLY))
    assert isinstance(refused, Rejected)
    verdict = gpu_sandbox.judge(softmax_job(TORCH_ONLY, policy="mixed"))
    assert isinstance(verdict, Passed) and verdict.timings, verdict
    assert verdict.coverage == 0.0
    assert 0.96 < verdict.timings[0].ratio < 1.04


def test_coverage_is_not_of_runs_that_a_kernel_can_tell_from_samples(gpu_sandbox: LocalSandbox) -> None:
    """It spins for about a millisecond where it finds the mark that it left in a run before."""
    verdict = gpu_sandbox.judge(softmax_job(SHOW, policy="mixed", rehearsal=()))
    assert isinstance(verdict, Passed) and verdict.coverage is not None, verdict
    assert verdict.coverage < 0.5


def test_a_failing_reference_is_broken(gpu_sandbox: LocalSandbox) -> None:
    reference = "def make_inputs(case, draw):\n    return (draw.normal(8, 8),)\n\ndef softmax(x):\n    raise OSError\n"
    verdict = gpu_sandbox.judge(softmax_job(reference=reference, cases=(Case(name="one"),)))
    assert isinstance(verdict, Broken)


def test_verdicts_are_kept_but_not_broken_ones(tmp_path: Path) -> None:
    sandbox = LocalSandbox(workers=1, gpus=1, cache=tmp_path)
    try:
        first, second = sandbox.judge(softmax_job()), sandbox.judge(softmax_job())
    finally:
        sandbox.close()
    assert first == second and isinstance(first, Passed)


@pytest.mark.parametrize("name", ["c_program_order", "c_race_on_output", "c_no_masks"])
def test_the_rehearsal_sees_what_may_come_out_right_on_a_gpu(gpu_sandbox: LocalSandbox, name: str) -> None:
    exploit = corpus.read_candidate(corpus.EXPLOITS / f"{name}.py")
    job = corpus.job(exploit, LIMITS, "gpu")
    assert job.rehearsal
    assert isinstance(gpu_sandbox.judge(job), Rejected)


@pytest.mark.parametrize("name", ["descriptor_store_of_odd_length.py", "descriptor_atomic_add.py"])
def test_what_tma_writes_behind_a_tensors_end_is_no_fault_of_the_kernel(gpu_sandbox: LocalSandbox, name: str) -> None:
    job = corpus.job(corpus.read_candidate(corpus.HONEST / name), LIMITS, "gpu", timing=None)
    for _ in range(10):  # what lies there is drawn anew
        assert isinstance(verdict := gpu_sandbox.judge(job), Passed), verdict


def test_memory_for_spilled_registers_is_given_back(gpu_sandbox: LocalSandbox) -> None:
    def used(code: str) -> float:
        for _ in range(PAIRS):
            assert isinstance(gpu_sandbox.judge(softmax_job(code, timing=None)), Passed)
        gpu_sandbox.trim()
        found = host.gpu_mib()
        assert found is not None
        return found

    code = softmax_job().candidate
    spilling = code.replace("BLOCK=triton.next_power_of_2(x.shape[1])", "BLOCK=32768, num_warps=1")
    assert spilling != code
    before = used(code)
    assert used(spilling) < before + 64


@pytest.mark.parametrize("stops", [False, True])
def test_the_gpu_is_done_when_a_judge_answers(stops: bool) -> None:
    import torch

    from sandbox.judging.replayer_link import StopError, stoppable  # needs the driver

    done = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def question(request: dict[str, object], files: list[int]) -> tuple[dict[str, object], tuple[int, ...]]:
        torch.cuda._sleep(1_000_000_000)
        done.record()
        if stops:
            raise StopError({"rejected": {}})
        return {}, ()

    stoppable(question)({}, [])
    assert done.query()


def test_graphs_of_one_pool_share_its_memory() -> None:
    import torch

    from sandbox.replaying.graphs import Flush, TimedGraph

    def work() -> None:
        torch.zeros(1 << 30, dtype=torch.uint8, device="cuda")

    flush, pool, before = Flush(), torch.cuda.graph_pool_handle(), torch.cuda.memory_reserved()
    graphs = [TimedGraph(flush, work, pool=pool) for _ in range(3)]
    assert all(graph.sample() > 0 for graph in graphs)
    assert torch.cuda.memory_reserved() - before < 2 << 30
