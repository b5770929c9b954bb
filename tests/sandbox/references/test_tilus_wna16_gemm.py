"""Bit planes of every width, small floats, and the form that users write."""

from typing import Any

import pytest
import torch

from sandbox.judging.draw import Draw
from sandbox.references import load
from sandbox.types import Case

TASK = load("tilus_wna16_gemm", "cpu")
FUNCTIONS: dict[str, Any] = {}
exec(compile(TASK.reference, TASK.name, "exec"), FUNCTIONS)


def pack_planes(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Codes [N, K] → int32 [bits, N, K/32]."""
    planes = (codes[None] >> torch.arange(bits)[:, None, None]) & 1
    words = (planes.reshape(bits, len(codes), -1, 32) << torch.arange(32)).sum(-1)
    return torch.where(words >= 2**31, words - 2**32, words).int()


@pytest.mark.parametrize("bits", range(1, 9))
def test_unpacking_undoes_packing(bits: int) -> None:
    codes = torch.randint(2**bits, (5, 96), generator=torch.Generator().manual_seed(bits))
    assert torch.equal(FUNCTIONS["unpack"](pack_planes(codes, bits)).long(), codes)


def test_small_floats() -> None:
    positive = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    assert FUNCTIONS["float_values"](2, 1).tolist() == positive + [-x for x in positive]
    assert float(FUNCTIONS["float_values"](2, 3).max()) == 7.5
    assert len(FUNCTIONS["float_values"](4, 3).unique()) == 255  # +0 = -0


@pytest.mark.parametrize("case", TASK.cases, ids=lambda case: case.name)
def test_users_form_agrees(case: Case) -> None:
    inputs = FUNCTIONS["make_inputs"](case.args, Draw(torch.Generator().manual_seed(0), case.distribution))
    expected = FUNCTIONS["tilus_wna16_gemm"](*inputs).double()
    error = (FUNCTIONS["eager"](*inputs).double() - expected).norm() / expected.norm()
    assert error < (1e-2 if case.args["dtype"] == "bfloat16" else 2e-3)


def test_packed_weights_are_as_small_as_claimed() -> None:
    args = {"m": 1, "n": 64, "k": 256, "format": "u5", "g": 128, "dtype": "bfloat16"}
    x, planes, scale, zero, _ = FUNCTIONS["make_inputs"](args, Draw(torch.Generator().manual_seed(0)))
    assert 8 * planes.nbytes == 5 * 64 * 256
    output = 64 * x.element_size()
    assert FUNCTIONS["cost"](args)["bytes"] == sum(t.nbytes for t in (x, planes, scale, zero)) + output
