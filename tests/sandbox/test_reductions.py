"""`tl.reduce` and `tl.associative_scan` with a kernel's own functions: what a GPU may join in any order."""

import pytest
import torch
from interpreting import interpret

from sandbox.local import LocalSandbox

PAIRS = """
def together(a, x, b, y):
    return COMBINED, b * x + y

def kernel(a, x, states, totals):
    row, column = tl.arange(0, 4)[:, None], tl.arange(0, 16)[None, :]
    at = row * 16 + column
    _, state = tl.associative_scan((tl.load(a + at), tl.load(x + at)), AXIS, together, reverse=BACKWARD)
    tl.store(states + at, state)
    total = tl.reduce(tl.load(x + at), AXIS, larger, keep_dims=True)
    tl.store(totals + at, tl.broadcast_to(total, [4, 16]))

def larger(a, b):
    return tl.where(a > b, a, b)
"""
LAST = """
def kernel(x, out):
    tl.store(out, tl.reduce(tl.load(x + tl.arange(0, SIZE)), AXIS, FUNCTION))

def last(a, b):
    return b

def sum(a, b):
    return a + b
"""

NARROW = """
def kernel(x, out, running):
    at = tl.arange(0, 8)
    given = tl.load(x + at)
    tl.store(out, tl.sum(given, 0, dtype=TYPE).to(tl.float32))
    tl.store(running + at, tl.cumsum(given, 0, dtype=TYPE).to(tl.float32))
"""
ZEROS = """
def kernel(x, out):
    given = tl.load(x + tl.arange(0, 4)[:, None] * 8 + tl.arange(0, 8)[None, :])
    tl.store(out + tl.arange(0, 4), 1.0 / tl.BEST(given, 1, return_indices=PLACES)PART)
"""


def recurrence(a: torch.Tensor, x: torch.Tensor, axis: int, backward: bool) -> torch.Tensor:
    """state = a * state + x along `axis`."""
    state, found = torch.zeros_like(x.select(axis, 0)), torch.empty_like(x)
    places = range(x.shape[axis])
    for place in reversed(places) if backward else places:
        state = a.select(axis, place) * state + x.select(axis, place)
        found.select(axis, place).copy_(state)
    return found


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("combined", ["a * b", "b"])
def test_scans_and_reductions_along_any_axis(sandbox: LocalSandbox, axis: int, backward: bool, combined: str) -> None:
    a, x = torch.rand(4, 16), torch.randn(4, 16)
    kernel = PAIRS.replace("COMBINED", combined).replace("AXIS", str(axis)).replace("BACKWARD", str(backward))
    reply, (*_, states, totals) = interpret(sandbox.interpreter, kernel, 1, [a, x, x * 0, x * 0])
    assert "changed" in reply, reply
    assert torch.allclose(states, recurrence(a, x, axis, backward), atol=1e-5) == (combined == "a * b")
    assert torch.equal(totals, x.amax(axis, keepdim=True).expand(4, 16))


NUMBERS = (
    "return a if a > b else b", "if a > b:\n        b = a\n    return b",
    "return tl.where(a > b, a, b) if len(a.shape) == 0 else a",
)  # fmt: skip


@pytest.mark.parametrize("body", NUMBERS)
def test_a_function_gets_numbers_and_decides_place_by_place(sandbox: LocalSandbox, body: str) -> None:
    a, x = torch.rand(4, 16), torch.randn(4, 16)
    kernel = PAIRS.replace("COMBINED", "a * b").replace("AXIS", "1").replace("BACKWARD", "False")
    kernel = kernel.replace("return tl.where(a > b, a, b)", body)
    reply, (*_, totals) = interpret(sandbox.interpreter, kernel, 1, [a, x, x * 0, x * 0])
    assert "changed" in reply, reply
    assert torch.equal(totals, x.amax(1, keepdim=True).expand(4, 16))


@pytest.mark.parametrize("axis", ["0", "None"])
@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_reduction_has_no_order(sandbox: LocalSandbox, axis: str, size: int) -> None:
    x = torch.randn(size)
    found = {}
    for name in ("last", "sum"):
        kernel = LAST.replace("AXIS", axis).replace("FUNCTION", name).replace("SIZE", str(size))
        reply, (_, out) = interpret(sandbox.interpreter, kernel, 1, [x, torch.zeros(1)])
        assert "changed" in reply, reply
        found[name] = out
    assert torch.allclose(found["sum"], x.sum(), atol=1e-5)
    assert torch.equal(found["last"], x[-1:]) == (size < 3)


@pytest.mark.parametrize("dtype", ["bfloat16", "int1"])
def test_sums_are_of_the_numbers_and_not_of_their_bits(sandbox: LocalSandbox, dtype: str) -> None:
    x = torch.tensor([1.0, 1, 0, 1, 1, 0, 0, 1])
    kernel = NARROW.replace("TYPE", f"tl.{dtype}")
    reply, (_, total, running) = interpret(sandbox.interpreter, kernel, 1, [x, torch.zeros(1), torch.zeros(8)])
    assert "changed" in reply, reply
    expected = x.cumsum(0) % 2 if dtype == "int1" else x.cumsum(0)
    assert running.tolist() == expected.tolist() and total.item() == expected[-1]


@pytest.mark.parametrize("best", ["max", "min"])
@pytest.mark.parametrize("places", [False, True])
def test_the_sign_of_zeros(sandbox: LocalSandbox, best: str, places: bool) -> None:
    """-0 is less than 0; where a place is told, which is the first of equals, the value is the one there."""
    x = torch.tensor([0.0, -0.0, 0.0, -0.0])[:, None].repeat(1, 8)
    x[0, 3], x[1, 3] = -0.0, 0.0
    kernel = ZEROS.replace("BEST", best).replace("PLACES", str(places)).replace("PART", "[0]" if places else "")
    reply, (_, out) = interpret(sandbox.interpreter, kernel, 1, [x, torch.zeros(4)])
    assert "changed" in reply, reply
    mixed = [1.0, -1.0] if places else [1.0, 1.0] if best == "max" else [-1.0, -1.0]
    assert out.sign().tolist() == [*mixed, 1.0, -1.0]
