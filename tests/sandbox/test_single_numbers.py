"""A number that one thread of a program stores, and what becomes of it before the others know."""

import pytest
import torch
from interpreting import interpret

from sandbox.bench import corpus
from sandbox.local import LocalSandbox
from sandbox.pool import Helper
from sandbox.types import Limits, Passed, Rejected

KERNEL = """
def kernel(number_ptr, y_ptr, B: tl.constexpr):
    at = tl.arange(0, B)
    tl.store(number_ptr, 3)
    BETWEEN
    n = tl.load(number_ptr)
    THEN
"""
STALE = {
    "a whole tensor": "tl.store(y_ptr + at, at + n)",
    "a mask": "tl.store(y_ptr + at, at, mask=at < n)",
    "an address": "tl.store(y_ptr + n + at, at, mask=at < 100)",
    "by way of other numbers": "m = n * 2 + 1\n    tl.store(y_ptr + at, at + m)",
    "a branch": "if n == 3:\n        tl.store(y_ptr + at, at)",
    "a while loop": "while n > 0:\n        tl.store(y_ptr + at, at)\n        n -= 1",
    "a for loop": "for i in range(n):\n        tl.store(y_ptr + at, at + i)",
}
FINE = {
    "numbers alone": "tl.store(y_ptr, n + 1)",
    "a tensor of one warp": "few = tl.arange(0, 32)\n    tl.store(y_ptr + few, few + n)",
    "stored again, and counted up": "for i in range(4):\n        tl.store(number_ptr, tl.load(number_ptr) + 1)",
}
WAITS = {"a barrier": "tl.debug_barrier()", "an exchange": "tl.store(y_ptr, tl.sum(at))"}


def said(interpreter: Helper, then: str, between: str = "pass") -> str:
    kernel = KERNEL.replace("BETWEEN", between).replace("THEN", then)
    reply, _ = interpret(interpreter, kernel, 1, [torch.zeros(1, dtype=torch.int32), torch.zeros(200).int()], B=128)
    return str(reply.get("rejected", {}).get("reason", ""))


@pytest.mark.parametrize("then", STALE.values(), ids=STALE)
def test_it_must_not_reach_all_threads(sandbox: LocalSandbox, then: str) -> None:
    assert "one thread has just stored" in said(sandbox.interpreter, then)
    assert [said(sandbox.interpreter, then, wait) for wait in WAITS.values()] == ["", ""]


@pytest.mark.parametrize("then", FINE.values(), ids=FINE)
def test_it_may_stay_among_numbers(sandbox: LocalSandbox, then: str) -> None:
    assert said(sandbox.interpreter, then) == ""


@pytest.mark.parametrize(("warps", "kind"), [(1, Passed), (2, Rejected)])
def test_one_warp_needs_no_barrier(sandbox: LocalSandbox, warps: int, kind: type) -> None:
    attack = corpus.read_candidate(corpus.EXPLOITS / "c_scaled_by_one_threads_number.py")
    job = corpus.job(attack, Limits())
    code = job.candidate.replace("BLOCK=triton", f"num_warps={warps}, BLOCK=triton")
    assert code != job.candidate and isinstance(sandbox.judge(job.model_copy(update={"candidate": code})), kind)
