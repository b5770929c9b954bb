"""Which plans ask for the same, whatever else differs between them."""

from typing import Any

import pytest
from plans_by_hand import launch, make, torch_call, view

from sandbox.plans import plan
from sandbox.plans.sameness import same_work, stands_for

IN, OUT, SCRATCH = {"nbytes": 32, "input": 0}, {"nbytes": 32}, {"nbytes": 64}


def parsed(**changes: Any) -> plan.Plan:
    found = plan.parse(make(**changes))
    assert isinstance(found, plan.Plan), found
    return found


def fill(buffer: int, value: float = 0.0, n: int = 16, **more: Any) -> dict[str, Any]:
    return {"kind": "fill", "target": view(buffer, n), "value": value, **more}


def copy(target: int, source: int, n: int = 8) -> dict[str, Any]:
    return {"kind": "copy", "target": view(target, n), "source": view(source, n)}


def counted(*steps: dict[str, Any], kept: bool = False) -> plan.Plan:
    """With scratch between input and output."""
    return parsed(buffers=[IN, {**SCRATCH, "kept": kept}, OUT], steps=list(steps), output={"view": view(2)})


WORK = launch(view(0), view(1, 16), view(2))
ONE = counted(fill(1), WORK)


@pytest.mark.parametrize("other", [
    counted(fill(1, kept=True), WORK, kept=True),
    counted(fill(1, 7.0, kept=True), fill(1), WORK, kept=True),
    counted(fill(1), WORK, fill(1, 9.0)),
    counted(copy(1, 0), torch_call(view(1), view(0)), fill(1), WORK),
    parsed(
        buffers=[OUT, OUT, IN, SCRATCH, SCRATCH], output={"view": view(1)},
        steps=[fill(4), fill(3), launch(view(2), view(3, 16), view(1))],
    ),
])  # fmt: skip
def test_numbers_of_buffers_and_vain_or_kept_settings_do_not_count(other: plan.Plan) -> None:
    assert same_work(ONE, other) and same_work(other, ONE)


@pytest.mark.parametrize("other", [
    counted(WORK),
    counted(fill(1), WORK, WORK),
    counted(fill(1, 1.0), WORK),
    counted(fill(1, n=15), WORK),
    counted(WORK, fill(1)),
    counted(fill(2, 3.0, 4), fill(1), WORK),
    counted(fill(1), launch(view(0), view(1, 16), view(1))),
    counted(fill(1), launch(view(0), view(1, 16), view(2), grid=(2, 1, 1))),
    counted(fill(1), WORK, copy(2, 0)),
    parsed(buffers=[IN, SCRATCH, OUT], steps=[fill(1), WORK], output={"view": view(2, 4)}),
    parsed(buffers=[IN, {"nbytes": 65}, OUT], steps=[fill(1), WORK], output={"view": view(2)}),
    parsed(buffers=[OUT, SCRATCH, OUT], steps=[fill(1), WORK], output={"view": view(2)}),
    parsed(
        kernels=[{"name": "k", "line": 1, "ttir": "", "options": {"num_warps": 8}, "constants": {}}],
        buffers=[IN, SCRATCH, OUT], steps=[fill(1), WORK], output={"view": view(2)},
    ),
])  # fmt: skip
def test_work_memory_and_outputs_count(other: plan.Plan) -> None:
    assert not same_work(ONE, other)


def test_kept_memory_is_not_stood_for_by_memory_of_the_call() -> None:
    kept = counted(fill(1, kept=True), WORK, kept=True)
    assert stands_for(ONE, ONE) and stands_for(kept, ONE) and stands_for(kept, kept)
    assert not stands_for(ONE, kept) and not stands_for(kept, counted(WORK, kept=True))


def test_one_piece_of_memory_is_not_two_of_equal_history() -> None:
    twice = parsed(buffers=[OUT, IN], steps=[launch(view(0), view(0), view(1))], output={"view": view(0)})
    two = parsed(buffers=[OUT, IN, OUT], steps=[launch(view(0), view(2), view(1))], output={"view": view(0)})
    assert not same_work(twice, two)


@pytest.mark.parametrize("changes", [
    {"steps": [launch(view(7))]},
    {"steps": [{**launch(view(0)), "kernel": 3}]},
    {"steps": [fill(1, n=8), {**fill(1), "target": view(1, dtype="float13")}]},
    {"output": {"view": "nothing"}},
    {"output": {"view": view(9)}},
])  # fmt: skip
def test_what_makes_no_sense_is_the_same_as_nothing(changes: dict[str, Any]) -> None:
    found = parsed(**changes)
    assert not same_work(found, found)
