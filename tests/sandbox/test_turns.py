"""What the interpreter says about kernels whose programs touch the same memory, or wait for each other."""

import pytest
import torch
from interpreting import interpret

from sandbox.local import LocalSandbox

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
