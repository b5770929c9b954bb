"""What interpreted kernels may read, what words of Python mean to them, and what copies convert."""

import itertools

import pytest
import torch
from interpreting import copies, interpret

from sandbox.interpreting.open_answers import MOST_ANSWERS
from sandbox.local import LocalSandbox
from sandbox.plans.plan import DTYPES

UNSET = {
    "added to": ("tl.atomic_add(scratch, 1)", True),
    "compared": ("tl.atomic_cas(scratch, -1, 1)", True),
    "exchanged": ("tl.atomic_xchg(scratch, 1)\n    out = tl.load(scratch)", False),
    "set before": ("tl.store(scratch, 1)\n    tl.atomic_add(scratch, 1)", False),
    "set before by bytes": (
        "tl.store(bytes + tl.arange(0, 4), tl.zeros([4], tl.int8))\n    out = tl.load(bytes + tl.arange(0, 4))", False
    ),
}  # fmt: skip
OPEN = {
    "plain": ("out = tl.load(scratch)", True),
    "one lane": ("tl.store(scratch, 1)\n    tl.debug_barrier()\n    out = tl.load(scratch + tl.arange(0, 2))", True),
    "masked": ("out = tl.load(scratch + tl.arange(0, 2), mask=tl.arange(0, 2) < 0, other=3)", False),
}


@pytest.mark.parametrize("name", UNSET)
def test_memory_that_nothing_has_set_may_not_be_read(sandbox: LocalSandbox, name: str) -> None:
    body, refused = UNSET[name]
    bytes_ = torch.zeros(8, dtype=torch.int8)
    reply, _ = interpret(sandbox.interpreter, f"def kernel(scratch, bytes):\n    {body}\n", 1, [4, bytes_])
    assert ("nothing has set" in reply.get("rejected", {}).get("reason", "")) == refused, reply
    assert refused or "changed" in reply, reply


@pytest.mark.parametrize("name", OPEN)
def test_loads_of_memory_that_nothing_has_set_are_anything(sandbox: LocalSandbox, name: str) -> None:
    body, open_ = OPEN[name]
    bytes_ = torch.zeros(8, dtype=torch.int8)
    reply, _ = interpret(sandbox.interpreter, f"def kernel(scratch, bytes):\n    {body}\n", 1, [4, bytes_])
    assert reply.get("answers") == (MOST_ANSWERS if open_ else 1), reply


def test_library_functions_and_values_of_constexprs(sandbox: LocalSandbox) -> None:
    body = "def kernel(x, y, n, BLOCK: tl.constexpr):\n    at = tl.arange(0, BLOCK.value)\n    z = tl.load(x + at)\n"
    body += "    z += libdevice.float2int_rd(z).to(tl.float32)\n"
    body += "    tl.store(y + at, libdevice.j0(libdevice.fma(z, z, 1.0)))\n"
    x = torch.tensor([0.25, -1.75])
    reply, (_, y, _) = interpret(sandbox.interpreter, body, 1, [x, torch.zeros(2), 1], BLOCK=2)
    assert "changed" in reply, reply
    torch.testing.assert_close(y, torch.special.bessel_j0((x + x.floor()) ** 2 + 1))


WORDS = {
    "and": ("x > 1 and x < 4", [0, 0, 1, 1, 0]),
    "or": ("x < 1 or x > 3", [1, 0, 0, 0, 1]),
    "not": ("not (x == 2)", [1, 1, 0, 1, 1]),
    "three": ("x > 0 and x < 4 and not (x == 2)", [0, 1, 0, 1, 0]),
    "a constant that decides": ("N < 0 and tl.load(x) or N > 0 and x > 2", [0, 0, 0, 1, 1]),
    "constants that do not": ("N > 0 and x > 2 or N < 0", [0, 0, 0, 1, 1]),
    "min and max": ("min(max(x, 2), 3, 9) - N + 5", [2, 2, 2, 3, 3]),
    "a chosen number": ("x * (1 if tl.sum(x) > 0 else 0).to(tl.int32)", [0, 1, 2, 3, 4]),
    "numbers unpacked": ("x * two.to(tl.int32) + one.to(tl.int32)", [1, 3, 5, 7, 9]),
}


@pytest.mark.parametrize("name", WORDS)
def test_words_of_python_mean_what_they_mean_to_triton(sandbox: LocalSandbox, name: str) -> None:
    expression, expected = WORDS[name]
    body = "def kernel(out, N: tl.constexpr):\n    at = tl.arange(0, 8)\n    x = at\n    one, two = 1, 2\n"
    body += f"    found = ({expression}).to(tl.int32)\n    tl.store(out + at, found, mask=at < N)\n"
    reply, (out, *_) = interpret(sandbox.interpreter, body, 1, [torch.zeros(5, dtype=torch.int32)], N=5)
    assert "changed" in reply and out.tolist() == expected, reply


def test_both_sides_of_a_word_are_evaluated_as_by_a_gpu(sandbox: LocalSandbox) -> None:
    body = "def kernel(x, out):\n    me = tl.program_id(0)\n    if me < 4 and tl.load(x + me) > 0:\n"
    body += "        tl.store(out + me, 1.0)\n"
    reply, _ = interpret(sandbox.interpreter, body, 5, [torch.ones(4), torch.zeros(4)])
    assert "outside its buffers" in reply["rejected"]["reason"], reply


def test_every_conversion_works_in_isolation(sandbox: LocalSandbox) -> None:
    """Torch asks the system about the processor at the first conversion of some; in there it gets no answer."""
    dtypes = [getattr(torch, name) for name in DTYPES]
    pairs = [(torch.ones(2).to(a), torch.zeros(2).to(b)) for a, b in itertools.permutations(dtypes, 2)]
    reply, found = copies(sandbox.interpreter, pairs)
    assert "changed" in reply, reply
    assert all(bool((x.to(torch.complex128) == 1).all()) for x in found)


@pytest.mark.parametrize("number", [2.0**31, -1.5e10, float("inf"), float("nan")])
def test_what_an_integer_cannot_hold_is_no_copy(sandbox: LocalSandbox, number: float) -> None:
    whole = torch.zeros(2, dtype=torch.int32)
    reply, (_, found) = copies(sandbox.interpreter, [(torch.tensor([-(2.0**31), 2147483520.9]), whole)])
    assert "changed" in reply and found.tolist() == [-(2**31), 2147483520], reply
    reply, _ = copies(sandbox.interpreter, [(torch.tensor([1.0, number]), whole)])
    assert "torch leaves open" in reply["rejected"]["reason"], reply
