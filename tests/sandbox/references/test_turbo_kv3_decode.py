"""The form that users write agrees with the definition."""

from typing import Any

import pytest
import torch

from sandbox.judging.draw import Draw
from sandbox.references import load
from sandbox.types import Case

TASK = load("turbo_kv3_decode", "cpu")
FUNCTIONS: dict[str, Any] = {}
exec(compile(TASK.reference, TASK.name, "exec"), FUNCTIONS)


@pytest.mark.parametrize("case", TASK.cases, ids=lambda case: case.name)
def test_users_form_agrees(case: Case) -> None:
    inputs = FUNCTIONS["make_inputs"](case.args, Draw(torch.Generator().manual_seed(0), case.distribution))
    expected, y = FUNCTIONS["turbo_kv3_decode"](*inputs), FUNCTIONS["eager"](*inputs)
    assert y.dtype == expected.dtype
    assert (y.double() - expected.double()).norm() < 4e-3 * expected.double().norm()


@pytest.mark.parametrize("case", TASK.cases, ids=lambda case: case.name)
def test_cost_counts_every_input_once(case: Case) -> None:
    inputs = FUNCTIONS["make_inputs"](case.args, Draw(torch.Generator().manual_seed(0), case.distribution))
    assert FUNCTIONS["cost"](case.args)["bytes"] == sum(t.nbytes for t in inputs) + inputs[0].nbytes
