"""What is said of plans that ran, by what their steps changed."""

from typing import Any

import pytest
from plans_by_hand import launch, make, torch_call, view

from sandbox.plans import effects, plan


@pytest.mark.parametrize("said", [None, 1, [[1]], [[1], 2], [[1], "2"], [[1], [[2]]], [[1], [2.0]], [[1], {"2": 3}]])
def test_what_is_no_list_of_buffers_for_each_step_says_nothing(said: Any) -> None:
    assert effects.told(said, 2) is None
    assert effects.told([[], [1, 2]], 2) == [set(), {1, 2}]


def test_outputs_into_which_no_work_went() -> None:
    steps = [launch(view(1)), {"kind": "copy", "target": view(2), "source": view(1)}, torch_call(view(3), view(0))]
    found = plan.parse(make(buffers=[{"nbytes": 32, "input": 0}, *[{"nbytes": 32}] * 3], steps=steps))
    assert isinstance(found, plan.Plan)
    views = [plan.View.model_validate(view(n)) for n in (1, 2, 3)]
    changed = [{1}, {2}, {3}]
    assert effects.idle_output(found, views, changed, "triton_only") == "no Triton kernel changes anything in output 2"
    assert effects.idle_output(found, views, changed, "mixed") is None
    idle = effects.idle_output(found, views, [set(), {2}, {3}], "triton_only")
    assert idle == "no Triton kernel changes anything in output 0"


FILL = {"kind": "fill", "value": 0}
CONSTANTS = {"kind": "copy", "source": view(2)}
INPUT = {"kind": "copy", "source": view(0)}


@pytest.mark.parametrize(
    ("write", "numbers", "again", "fine"),
    [
        (FILL, 2, False, True), (FILL, 3, False, False), (FILL, 8, True, True), (CONSTANTS, 2, False, True),
        (CONSTANTS, 3, False, False), (INPUT, 3, False, True),
    ],
)  # fmt: skip
def test_constants_behind_the_kernels_do_not_do_the_work(
    write: dict[str, Any], numbers: int, again: bool, fine: bool
) -> None:
    step = {**write, "target": view(1, numbers)}
    step |= {"source": {**step["source"], "shape": [numbers]}} if "source" in step else {}
    steps = [{**FILL, "target": view(2)}, launch(view(1)), step, *[launch(view(1))] * again]
    found = plan.parse(make(buffers=[{"nbytes": 32, "input": 0}, {"nbytes": 32}, {"nbytes": 32}], steps=steps))
    assert isinstance(found, plan.Plan)
    views = [plan.View.model_validate(view(1))]
    assert (effects.idle_output(found, views, [{1}] * len(steps), "triton_only") is None) == fine


def test_inputs_that_a_launch_changed() -> None:
    found = plan.parse(make(steps=[launch(view(0), view(1)), launch(view(0), view(1))]))
    assert isinstance(found, plan.Plan)
    assert effects.borrowed_input(found, [{1}, {1}], ()) is None
    assert effects.borrowed_input(found, [{1}, {0, 1}], ()) == 0
    assert effects.borrowed_input(found, [{1}, {0, 1}], (0,)) is None
    assert effects.borrowed_input(found, [{99}, set()], ()) is None  # the reply is a child's
