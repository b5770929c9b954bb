"""Memory that a candidate keeps from call to call: what a plan says of it, and what a second call finds there."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tracing import request, trace_all

from sandbox.bench import corpus
from sandbox.judging.judge import Judge
from sandbox.local import LocalSandbox
from sandbox.plans import plan, plan_check
from sandbox.plans.plain_steps import plainly
from sandbox.types import Limits, Rejected

X = torch.randn(512)
KERNEL = """
import torch, triton, triton.language as tl

kept = {}
table = torch.full((512,), 3.0, device="cuda")

@triton.jit
def kernel(x, t, s, y, B: tl.constexpr):
    at = tl.arange(0, B)
    tl.store(s + at, tl.load(x + at) + tl.load(t + at))
    tl.store(y + at, tl.load(s + at))

def keep(name, make):
    if name not in kept:
        kept[name] = make()
    return kept[name]

def f(x):
    MEMORY
    kernel[(1,)](x, table, scratch, y, B=512)
    return y
"""
MEMORY = {
    "of this call": "scratch, y = torch.zeros_like(x), torch.empty_like(x)",
    "kept": 'scratch, y = keep("s", lambda: torch.zeros_like(x)), torch.empty_like(x)',
    "kept and filled again": 'scratch, y = keep("s", lambda: torch.zeros_like(x)), torch.empty_like(x)\n'
    "    scratch.fill_(2.0)",
    "kept, joined": "\n    scratch, y = torch.empty_like(x), torch.empty_like(x)\n"
    '    t = keep("t", lambda: torch.cat([table[:256], table[:256]]))\n    kernel[(1,)](x, t, scratch, y, B=512)',
    "kept output": 'scratch, y = torch.empty_like(x), keep("y", lambda: [x.new_zeros(512) for _ in range(9)]).pop()',
    "kept view as output": "scratch = torch.empty_like(x)\n"
    '    y = keep("y", lambda: [torch.zeros(1024, device="cuda") for _ in range(9)]).pop()[512:]',
}
TABLE = ("fill", True, 3.0)
"""Made at import, so kept for every call."""
SPARE = """
    scratch, y = kept.get("s", torch.empty_like(x)), torch.empty_like(x)
    kept["s"] = LENT"""
CAUGHT = """
    scratch = y = torch.empty_like(x)
    try:
        kernel[(1,)](x, table, scratch, torch._neg_view(y), B=512)
    except Exception:
        pass"""
LENT = {
    "an input": (SPARE.replace("LENT", "x"), "earlier call"),
    "an output": (SPARE.replace("LENT", "y"), "earlier call"),
    "an input as it is": ("scratch, y = x.clone(), torch.empty_like(x.t_())", ""),
    "a turned view": ("scratch, y = x.clone(), torch.empty_like(x[None].t_()[:, 0])", ""),
    "other memory for an input": ("scratch = y = x.data = torch.empty_like(x)", "an input has got"),
    "another shape for an input": ("scratch, y = x.clone(), torch.empty_like(x); x.unsqueeze_(0)", "an input has got"),
    "a negative view": ("scratch, y = x.clone(), torch._neg_view(torch.empty_like(x))", "lazily negates"),
    "a negative view, and an error caught": (CAUGHT, "lazily negates"),
    "an input changed in place": ("scratch, y = x.clone(), torch.empty_like(x); x.zero_()", ""),
}
"""Where memory comes from, and a part of the reason why it may not."""
STEPS: dict[str, list[tuple[str, bool, Any]]] = {
    "of this call": [("fill", False, 0.0), TABLE],
    "kept": [TABLE, ("fill", True, 0.0)],
    "kept and filled again": [("fill", True, 2.0), ("fill", False, 2.0), TABLE],
    "kept, joined": [TABLE, ("copy", True, None), ("copy", True, None)],
    "kept output": [TABLE, ("fill", True, 0.0)],
    "kept view as output": [TABLE, ("fill", True, 0.0)],
}
REFERENCE = """
import torch
def f(x): return x * 2
def make_inputs(case, draw): return (draw.normal(64),)
"""


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, plan.Plan]:
    asked = [request(KERNEL.replace("MEMORY", memory), X) for memory in MEMORY.values()]
    found = {}
    for name, reply in zip(MEMORY, trace_all(asked, tmp_path_factory.mktemp("traces")), strict=True):
        parsed = plan.parse(reply.get("plans", [reply])[0])
        assert isinstance(parsed, plan.Plan), f"{name}: {reply}"
        found[name] = plainly(parsed, "triton_only")
    return found


@pytest.mark.parametrize("name", MEMORY)
def test_steps_of_an_earlier_call_are_told_from_those_of_this_one(plans: dict[str, plan.Plan], name: str) -> None:
    steps = [step for step in plans[name].steps if not isinstance(step, plan.Launch)]
    found = [(step.kind, step.kept, getattr(step, "value", None)) for step in steps]
    assert sorted(found, key=str) == sorted(STEPS[name], key=str)
    kept = {number for number, buffer in enumerate(plans[name].buffers) if buffer.kept}
    assert all(step.target.buffer in kept for step in steps if step.kept and not isinstance(step, plan.TorchCall))


@pytest.mark.parametrize("name", MEMORY)
def test_no_output_lies_in_kept_memory(plans: dict[str, plan.Plan], name: str) -> None:
    found = plan_check.check(plans[name], [2048], "triton_only", 1 << 20)
    if "output" in name:
        assert isinstance(found, Rejected) and "kept from an earlier call" in found.reason
    else:
        assert isinstance(found, plan.OutputTree)


def test_memory_of_callers_stays_theirs_and_where_it_is(tmp_path: Path) -> None:
    asked = [request(KERNEL.replace("MEMORY", memory), X) for memory, _ in LENT.values()]
    for (name, (_, why)), reply in zip(LENT.items(), trace_all(asked, tmp_path), strict=True):
        said = reply.get("rejected", {}).get("reason", "")
        assert why in said if why else not said, f"{name}: {said}"


def test_a_second_exam_has_kept_memory_as_it_was_left_and_all_else_anew() -> None:
    judge = Judge()
    case = {"name": "one"}
    described = judge.describe({"reference": REFERENCE, "entry_point": "f", "cases": [case]}, [])[0]["cases"][0]
    buffers = [{"nbytes": 256, "input": 0}, {"nbytes": 256, "kept": True}, {"nbytes": 256}]
    asked = {"case": 0, "buffers": buffers, "described": described, "telling": False, "mutates": []}

    def drawn(kept: list[int]) -> list[torch.Tensor]:
        reply, fds = judge.draw({**asked, "kept": kept}, [])
        for fd in fds:
            os.close(fd)
        assert judge.exam is not None
        slots = reply["layout"]["slots"]
        return [judge.exam.memory[slot["offset"] : slot["offset"] + slot["nbytes"]] for slot in slots]

    first = drawn([])
    first[1].fill_(7)
    x, kept, scratch = drawn([1])
    assert bool((kept == 7).all())
    assert not torch.equal(x, first[0]) and not torch.equal(scratch, first[2])


def test_the_reason_says_that_it_was_the_second_call(sandbox: LocalSandbox) -> None:
    exploit = corpus.read_candidate(corpus.EXPLOITS / "c_accumulator_kept.py")
    verdict = sandbox.judge(corpus.job(exploit, Limits()))
    assert isinstance(verdict, Rejected) and verdict.reason.startswith("in a second call")
