"""What the interpreter says about kernels whose programs touch the same memory."""

import itertools

import pytest
import torch
from interpreting import copies, interpret

from sandbox.interpreting.open_answers import MOST_ANSWERS
from sandbox.local import LocalSandbox
from sandbox.plans.plan import DTYPES

PROGRAMS = 12
ROUNDS = 3
"""Programs run in another random order each time."""

LOOK_BACK = """
def kernel(x, out, flag):
    me = tl.program_id(0)
    total = tl.load(x + me)
    if me > 0:
        WAIT
        total += tl.load(out + me - 1)
    tl.store(out + me, total)
    SIGNAL
"""
ATOMIC_FLAG = LOOK_BACK.replace("SIGNAL", "tl.atomic_xchg(flag + me, 1)").replace(
    "WAIT", "while tl.atomic_add(flag + me - 1, 0) == 0:\n            pass"
)
VOLATILE_FLAG = LOOK_BACK.replace("SIGNAL", "tl.debug_barrier()\n    tl.store(flag + me, 1)").replace(
    "WAIT",
    "ready = tl.load(flag + me - 1, volatile=True)\n        while ready == 0:\n"
    "            ready = tl.load(flag + me - 1, volatile=True)",
)
WAITING_HELPER = "def wait(flag):\n    while tl.atomic_cas(flag, 1, 1) != 1:\n        pass\n" + LOOK_BACK.replace(
    "SIGNAL", "tl.atomic_xchg(flag + me, 1)"
).replace("WAIT", "wait(flag + me - 1)")
WAITS_FOR_LATER = """
def kernel(x, out, flag):
    me = tl.program_id(0)
    last = tl.num_programs(0) - 1
    tl.store(out + last - me, tl.load(x + last - me))
    tl.atomic_xchg(flag + me, 1)
    if me < last:
        while tl.atomic_add(flag + me + 1, 0) == 0:
            pass
    tl.store(flag + me, 2)
"""
BARRIER = """
def kernel(x, out, flag):
    me = tl.program_id(0)
    n = tl.num_programs(0)
    tl.store(out + n + me, tl.load(x + me))
    tl.atomic_add(flag, 1)
    while tl.atomic_add(flag, 0) < n:
        pass
    tl.store(out + me, tl.sum(tl.load(out + n + tl.arange(0, 16), mask=tl.arange(0, 16) <= me, other=0.0), axis=0))
"""
MEET = """
def meet(flag, count):
    tl.debug_barrier()
    tl.atomic_add(flag, 1)
    while tl.atomic_add(flag, 0) < count:
        pass
"""
BARRIERS = (
    MEET
    + """
def kernel(x, out, flag):
    me = tl.program_id(0)
    n = tl.num_programs(0)
    tl.store(out + me, tl.load(x + me))
    step = 1
    count = n
    while step < n:
        meet(flag, count)
        total = tl.load(out + me) + tl.load(out + me - step, mask=me >= step, other=0.0)
        meet(flag, count + n)
        tl.store(out + me, total)
        step *= 2
        count += 2 * n
"""
)
"""Programs meet twice at each step of a scan in place."""
BOTH_WAYS = """
def kernel(x, out, flag):
    me = tl.program_id(0)
    for step in range(1, 6):
        if me > 0:
            while tl.atomic_add(flag + me - 1, 0) < step:
                pass
        tl.atomic_add(flag + me, 1)
        if me < tl.num_programs(0) - 1:
            while tl.atomic_add(flag + me + 1, 0) < step:
                pass
    tl.store(out + me, tl.load(x + me))
"""
ALIKE_FOR_LONG = (
    MEET
    + """
def kernel(x, out, flag):
    me = tl.program_id(0)
    meet(flag, tl.num_programs(0))
    left = tl.load(x + me)
    while left > -200.0:
        left -= tl.load(x)
    tl.store(out + me, left)
"""
)
"""All programs load the same again and again, and none of them waits."""
MAXIMUM_BY_SWAPPING = """
def kernel(x, out, flag):
    mine = tl.load(x + tl.program_id(0)).to(tl.int32)
    old = tl.load(flag)
    while old < mine:
        seen = tl.atomic_cas(flag, old, mine)
        old = tl.where(seen == old, mine, seen)
"""
LAST_ONE_RESETS = """
def kernel(x, out, flag):
    me = tl.program_id(0)
    tl.store(out + me, tl.load(x + me))
    if tl.atomic_add(flag, 1) == tl.num_programs(0) - 1:
        at = tl.arange(0, 16)
        total = tl.sum(tl.load(out + at, mask=at < tl.num_programs(0), other=0.0), axis=0)
        tl.store(out, total)
        tl.store(flag, 0)
"""
RIGHT = {
    "atomic flag": (ATOMIC_FLAG, "cumsum"),
    "volatile flag": (VOLATILE_FLAG, "cumsum"),
    "helper that waits": (WAITING_HELPER, "cumsum"),
    "waits for later ones": (WAITS_FOR_LATER, "copy"),
    "barrier": (BARRIER, "cumsum"),
    "several barriers": (BARRIERS, "cumsum"),
    "neighbours wait for each other at each step": (BOTH_WAYS, "copy"),
    "alike for long": (ALIKE_FOR_LONG, "counted down"),
    "maximum by swapping": (MAXIMUM_BY_SWAPPING, "maximum"),
    "last one resets": (LAST_ONE_RESETS, "sum"),
}

SIMPLE = "def kernel(x, out, flag):\n    me = tl.program_id(0)\n"
NEIGHBOUR = (
    SIMPLE + "    WAIT\n    tl.store(out + me, tl.load(out + me - 1, mask=me > 0, other=0.0) + tl.load(x + me))\n"
)
LANES = (
    "    if me == 0:\n        at = tl.arange(0, 64)\n        tl.store(out + at, tl.load(x + at))\n        MEET\n"
    "        tl.store(out + 64 + at, tl.load(out + 63 - at))\n"
)
RACES = {
    "atomic of which nobody looks at the result": SIMPLE + LANES.replace("MEET", "tl.atomic_add(flag + me, 1)"),
    "learnt by a release": LAST_ONE_RESETS.replace("atomic_add(flag, 1)", "atomic_add(flag, 1, sem='release')"),
    "told by an acquire": LAST_ONE_RESETS.replace("atomic_add(flag, 1)", "atomic_add(flag, 1, sem='acquire')"),
    "neighbour": NEIGHBOUR.replace("WAIT", "pass"),
    "empty loop": NEIGHBOUR.replace("WAIT", "turn = 0\n    while turn < 1:\n        turn += 1"),
    "loop over data read before": NEIGHBOUR.replace(
        "WAIT", "left = tl.load(flag)\n    while left > 0:\n        left -= 1"
    ),
    "loop that waits for nothing": NEIGHBOUR.replace("WAIT", "while tl.atomic_add(flag, 1) < 0:\n        pass"),
    "flag that is not looked at": NEIGHBOUR.replace("WAIT", "old = tl.atomic_add(flag, 1)"),
    "relaxed counter": LAST_ONE_RESETS.replace("atomic_add(flag, 1)", "atomic_add(flag, 1, sem='relaxed')"),
    "neighbours without a barrier": SIMPLE + LANES.replace("MEET", "pass"),
    "a reduction as a barrier": SIMPLE + LANES.replace("MEET", "tl.sum(tl.load(x + at), 0)"),
    "an atomic of single lanes as a barrier": SIMPLE + LANES.replace("MEET", "old = tl.atomic_add(flag + at, 1)"),
    "the first lane for all": SIMPLE + LANES.replace("MEET", "first = tl.load(out)"),
    "a store overtakes a load": SIMPLE
    + LANES.replace(
        "MEET", "tl.debug_barrier()\n        turned = tl.load(out + 63 - at)\n        tl.store(out + at, turned)"
    ),
    "a swap that is tried once": SIMPLE + "    old = tl.load(flag)\n    tl.atomic_cas(flag, old, old + 1)\n",
    "lanes of one store": SIMPLE + "    at = tl.arange(0, 4)\n    tl.store(out + me + 0 * at, tl.load(x + me) + at)\n",
    "sum read too early": SIMPLE + "    tl.atomic_add(out, tl.load(x + me))\n    if me == 1:\n"
    "        tl.store(out + 1, tl.load(out))\n",
    "set by the first, added to by others": SIMPLE + "    if me == 0:\n        tl.store(out, 1.0)\n"
    "    tl.atomic_add(out, tl.load(x + me))\n",
    "a second barrier that counts the first": BARRIERS.replace("meet(flag, count + n)", "meet(flag, count)"),
    "no second barrier": BARRIERS.replace("meet(flag, count + n)", "tl.debug_barrier()").replace("2 * n", "n"),
    "another lock": SIMPLE + "    while tl.atomic_cas(flag + me % 2, 0, 1) == 1:\n        pass\n"
    "    tl.store(out, tl.load(out) + tl.load(x + me))\n    tl.atomic_xchg(flag + me % 2, 0)\n",
}
WAITS_FOR_NOBODY = SIMPLE + "    while tl.atomic_add(flag, 0) == 0:\n        pass\n"
DEADLOCKS = {
    "a flag that nobody sets": (WAITS_FOR_NOBODY, 12, "nobody else is left"),
    "alone": (WAITS_FOR_NOBODY, 1, "nobody else is left"),
    "one barrier too many": (
        SIMPLE + "    while tl.atomic_add(flag, 1) < 0:\n        pass\n    if me > 0:\n"
        "        while tl.atomic_add(flag, 0) <= tl.num_programs(0):\n            pass\n",
        4,
        "nobody else is left",
    ),
    "too many": (WAITS_FOR_NOBODY, 300, "more than 256 programs"),
}
MEETINGS = {
    "barrier": "tl.debug_barrier()",
    "atomic": "old = tl.atomic_add(flag + me, 1)\n        tl.store(flag + 1, old)",
    "the same lanes": "at = 63 - at",
}
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


@pytest.mark.parametrize("name", RIGHT)
def test_programs_that_wait_for_each_other_are_right(sandbox: LocalSandbox, name: str) -> None:
    source, kind = RIGHT[name]
    x = torch.arange(1, PROGRAMS + 1).float()
    down = torch.full_like(x, -200)
    expected = {
        "cumsum": x.cumsum(0), "copy": x, "sum": x.sum(), "maximum": x.max().int(), "counted down": down,
    }[kind]  # fmt: skip
    for _ in range(ROUNDS):
        reply, (_, out, flag) = interpret(
            sandbox.interpreter,
            source,
            PROGRAMS,
            [x, torch.zeros(2 * PROGRAMS), torch.zeros(PROGRAMS, dtype=torch.int32)],
        )
        assert "changed" in reply, reply
        found = {"sum": out[0], "maximum": flag[0]}.get(kind, out[:PROGRAMS])
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", RACES)
def test_races_are_found(sandbox: LocalSandbox, name: str) -> None:
    tensors = [torch.ones(128), torch.zeros(128), torch.zeros(64, dtype=torch.int32)]
    reply, _ = interpret(sandbox.interpreter, RACES[name], PROGRAMS, [*tensors])
    assert reply.get("rejected", {}).get("reason", "").startswith("RaceError"), reply


@pytest.mark.parametrize("name", MEETINGS)
def test_lanes_that_have_met_are_no_race(sandbox: LocalSandbox, name: str) -> None:
    tensors = [torch.ones(128), torch.zeros(128), torch.zeros(PROGRAMS, dtype=torch.int32)]
    reply, (_, out, _) = interpret(sandbox.interpreter, SIMPLE + LANES.replace("MEET", MEETINGS[name]), 4, [*tensors])
    assert "changed" in reply and out.tolist() == [1.0] * 128, reply


@pytest.mark.parametrize("name", DEADLOCKS)
def test_programs_that_wait_for_nobody_are_told_so(sandbox: LocalSandbox, name: str) -> None:
    body, programs, said = DEADLOCKS[name]
    tensors = [torch.ones(programs), torch.zeros(programs), torch.zeros(programs, dtype=torch.int32)]
    reply, _ = interpret(sandbox.interpreter, body, programs, [*tensors], seconds=60.0)
    reason = reply["rejected"]["reason"]
    assert reason.startswith("DeadlockError") and said in reason and "`while" in reason, reply


@pytest.mark.parametrize("when", ["n - 1", "0"])
def test_a_fault_of_one_program_ends_those_that_wait(sandbox: LocalSandbox, when: str) -> None:
    """The last one of those that meet, and one that has waited for the others."""
    body = MEET + "def kernel(x, out, flag):\n    me, n = tl.program_id(0), tl.num_programs(0)\n"
    fault = f"    if me == {when}:\n        tl.store(out + me, tl.load(x + 1000))\n"
    meet = "    meet(flag, n)\n"
    for parts in (fault + meet, meet + fault + "    meet(flag, 2 * n)\n"):
        tensors = [torch.ones(PROGRAMS), torch.zeros(PROGRAMS), torch.zeros(PROGRAMS, dtype=torch.int32)]
        reply, (_, out, _) = interpret(sandbox.interpreter, body + parts, PROGRAMS, [*tensors])
        assert "outside its buffers" in reply["rejected"]["reason"] and not out.any(), reply


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
