"""What `triton_only` makes of torch operators that only put data together: what they do, or nothing."""

import random
from typing import Any

import pytest
import torch

from sandbox.plans.plain_steps import MAX_COUNTED, plainly
from sandbox.plans.plan import Constant, Copy, Fill, Plan, TorchCall


def view(x: torch.Tensor, number: int) -> dict[str, Any]:
    """Tensor `x` as what is in buffer `number`."""
    dtype = str(x.dtype).removeprefix("torch.")
    return {
        "buffer": number, "dtype": dtype, "shape": list(x.shape), "strides": list(x.stride()),
        "offset": x.storage_offset(),
    }  # fmt: skip


def plan(*steps: dict[str, Any], buffers: int = 8) -> Plan:
    made = {"buffers": [{"nbytes": 1024}] * buffers, "kernels": [], "steps": list(steps), "output": None}
    return Plan.model_validate(made)


def joined(name: str, pieces: list[torch.Tensor], result: torch.Tensor, dim: int) -> dict[str, Any]:
    items = [{"kind": "tensor", "view": view(piece, n + 1)} for n, piece in enumerate(pieces)]
    arguments = [{"kind": "list", "items": items}, {"kind": "value", "value": dim}]
    return {"kind": "torch", "name": name, "arguments": arguments, "results": [view(result, 0)]}


def padded(piece: torch.Tensor, widths: list[int], value: float, result: torch.Tensor) -> dict[str, Any]:
    items = [{"kind": "value", "value": width} for width in widths]
    arguments = [{"kind": "tensor", "view": view(piece, 1)}, {"kind": "list", "items": items}]
    arguments += [{"kind": "value", "value": value}] if value else []
    return {
        "kind": "torch", "name": "aten::constant_pad_nd", "arguments": arguments, "results": [view(result, 0)],
    }  # fmt: skip


def repeated(piece: torch.Tensor, times: list[Any], result: torch.Tensor) -> dict[str, Any]:
    items = [{"kind": "value", "value": count} for count in times]
    arguments = [{"kind": "tensor", "view": view(piece, 1)}, {"kind": "list", "items": items}]
    return {"kind": "torch", "name": "aten::repeat", "arguments": arguments, "results": [view(result, 0)]}


def counted(overload: str, numbers: list[Any], result: torch.Tensor) -> dict[str, Any]:
    arguments = [{"kind": "value", "value": number} for number in numbers]
    call = {"kind": "torch", "name": "aten::arange", "overload": overload, "arguments": arguments}
    return {**call, "results": [view(result, 0)]}


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("operator", [torch.cat, torch.stack])
def test_joining_is_copying(operator: Any, dim: int) -> None:
    pieces = [torch.randn(3, 4), torch.randn(4, 3).t(), torch.randn(6, 4)[::2]]
    expected = operator(pieces, dim)
    result = torch.full_like(expected, float("nan"))
    steps = plainly(plan(joined(f"aten::{operator.__name__}", pieces, result, dim)), "triton_only").steps
    random.shuffle(steps)
    memory = [result, *pieces]
    for step in steps:
        assert isinstance(step, Copy)
        target, source = (memory[v.buffer].as_strided(v.shape, v.strides, v.offset) for v in (step.target, step.source))
        target.copy_(source)
    assert torch.equal(result, expected)


@pytest.mark.parametrize("value", [0, -1.5])
@pytest.mark.parametrize("widths", [[2, 1], [0, 3, 1, 0], [0, 0, 0, 0, 2, 1]])
def test_padding_is_filling_and_copying(widths: list[int], value: float) -> None:
    piece = torch.randn(4, 3, 2).transpose(0, 1)
    expected = torch.nn.functional.pad(piece, widths, value=value)
    memory = [torch.full_like(expected, float("nan")), piece]
    fill, copy = plainly(plan(padded(piece, widths, value, memory[0])), "triton_only").steps
    assert isinstance(fill, Fill) and isinstance(copy, Copy)
    for step in (fill, copy):
        view = step.target
        target = memory[view.buffer].as_strided(view.shape, view.strides, view.offset)
        target.copy_(piece) if isinstance(step, Copy) else target.fill_(value)
    assert torch.equal(memory[0], expected)


@pytest.mark.parametrize("times", [[2, 3], [1, 1], [2, 1, 3], [4, 1, 1, 2]])
def test_repeating_is_copying(times: list[int]) -> None:
    piece = torch.randn(4, 3).t()
    expected = piece.repeat(*times)
    memory = [torch.full_like(expected, float("nan")), piece]
    (step,) = plainly(plan(repeated(piece, times, memory[0])), "triton_only").steps
    assert isinstance(step, Copy)
    target, source = (memory[v.buffer].as_strided(v.shape, v.strides, v.offset) for v in (step.target, step.source))
    target.copy_(source)
    assert torch.equal(memory[0], expected)


@pytest.mark.parametrize(
    ("widths", "value"), [([-1, 3], 1), ([1], 1), ([1, 2], 1), ([0, 0] * 4, 1), ([1, 1], "no number"), ([True, 1], 1)]
)
def test_padding_that_does_not_fit_stays(widths: list[int], value: Any) -> None:
    piece = torch.randn(4, 3)
    call = padded(piece, widths, value, torch.empty(4, 5))
    (step,) = plainly(plan(call), "triton_only").steps
    assert isinstance(step, TorchCall)


@pytest.mark.parametrize(
    ("overload", "numbers", "expected"),
    [
        ("", [5], torch.arange(5)),
        ("start", [-2, 3], torch.arange(-2, 3)),
        ("start_step", [9, 0, -2], torch.arange(9, 0, -2, dtype=torch.int32)),
        ("start_step", [0.5, 2, 0.25], torch.arange(0.5, 2, 0.25)),
        ("", [3], torch.arange(3, dtype=torch.float16)),
    ],
)
def test_counting_is_writing_down(overload: str, numbers: list[Any], expected: torch.Tensor) -> None:
    (step,) = plainly(plan(counted(overload, numbers, expected)), "triton_only").steps
    assert isinstance(step, Constant)
    assert step.values == expected.tolist()


PIECES, NARROW = [torch.empty(2, 3), torch.empty(4, 3)], torch.empty(6, 3)
FORGED = {
    "too short": joined("aten::cat", PIECES, torch.empty(7, 3), 0),
    "too long": joined("aten::cat", PIECES, torch.empty(5, 3), 0),
    "other width": joined("aten::cat", PIECES, torch.empty(6, 4), 0),
    "other rank": joined("aten::cat", PIECES, torch.empty(6), 0),
    "no such dimension": joined("aten::cat", PIECES, torch.empty(6, 3), 2),
    "no dimension": joined("aten::stack", [torch.empty(())], torch.empty(()), 0),
    "no strides": {**joined("aten::cat", PIECES, NARROW, 0), "results": [{**view(NARROW, 0), "strides": []}]},
    "no pieces": joined("aten::cat", [], torch.empty(6, 3), 0),
    "pieces differ": joined("aten::stack", PIECES, torch.empty(2, 2, 3), 0),
    "other operator": joined("aten::hstack", PIECES, torch.empty(6, 3), 0),
    "repeated too often": repeated(NARROW, [2, 1], torch.empty(18, 3)),
    "repeated never": repeated(NARROW, [0, 1], torch.empty(0, 3)),
    "repeated in too few dimensions": repeated(NARROW, [2], torch.empty(12, 3)),
    "long range": counted("", [5000], torch.empty(5000)),
    "matrix of a range": counted("", [4], torch.empty(2, 2)),
    "no float": counted("start_step", [0.5, 1, 10**400], torch.empty(3)),
    "no numbers": counted("", [None], torch.empty(3)),
    "fractions of integers": counted("start_step", [0, 3, 0.5], torch.empty(6, dtype=torch.int64)),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_makes_no_sense_stays_and_is_refused(name: str) -> None:
    (step,) = plainly(plan(FORGED[name]), "triton_only").steps
    assert isinstance(step, TorchCall)


def test_mixed_replays_them() -> None:
    (step,) = plainly(plan(joined("aten::cat", PIECES, torch.empty(6, 3), 0)), "mixed").steps
    assert isinstance(step, TorchCall)


def test_no_plan_becomes_longer_than_it_may_be() -> None:
    many = [joined("aten::cat", PIECES, torch.empty(6, 3), 0)] * 600
    assert len(plainly(plan(*many), "triton_only").steps) == 600
    ranges = [counted("", [4096], torch.empty(4096))] * 20
    kinds = [type(step) for step in plainly(plan(*ranges), "triton_only").steps]
    assert kinds == [Constant] * (MAX_COUNTED // 4096) + [TorchCall] * (20 - MAX_COUNTED // 4096)
