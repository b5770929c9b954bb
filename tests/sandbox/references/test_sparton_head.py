"""The timed baseline of the retrieval head is the same operator, and its chain is in the dtype of the case."""

from typing import Any

import pytest
import torch

from sandbox.judging.draw import Draw
from sandbox.references import load
from sandbox.types import Case

NAME = "sparton_head"


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in load(NAME, "cpu").cases])
def test_the_timed_baseline_is_right_to_the_rounding_of_its_scores(case: Case) -> None:
    functions: dict[str, Any] = {}
    exec(compile(load(NAME, "cpu").reference, NAME, "exec"), functions)
    inputs = functions["make_inputs"](case.args, Draw(torch.Generator().manual_seed(3), case.distribution))
    truth, chain = functions[NAME](*inputs), functions["eager"](*inputs)
    assert chain.dtype == torch.float32
    limit = 2e-2 if case.args["dtype"] == "bfloat16" else 2e-3
    assert float((chain - truth).norm()) < limit * float(truth.norm())


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in load(NAME, "gpu").cases])
def test_the_declared_cost_counts_unmasked_tokens_only(case: Case) -> None:
    functions: dict[str, Any] = {}
    exec(compile(load(NAME, "gpu").reference, NAME, "exec"), functions)
    b, s, d, v = (int(case.args[key]) for key in ("b", "s", "d", "v"))
    draw = Draw(torch.Generator().manual_seed(5))
    kept = [int(functions["make_inputs"](case.args | {"d": 1, "v": 1}, draw)[3].sum()) for _ in range(200)]
    expected = 2 * sum(kept) / len(kept) * d * v
    assert functions["cost"](case.args)["flops"] == pytest.approx(expected, rel=0.1)
    assert expected < 0.5 * 2 * b * s * d * v
