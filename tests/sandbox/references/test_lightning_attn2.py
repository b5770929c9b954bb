"""Lightning attention: hand-over of the state, the quadratic form, and the timed baseline."""

from typing import Any

import pytest
import torch

from sandbox.judging.draw import Draw
from sandbox.judging.numerics import compare
from sandbox.references import load
from sandbox.types import TOLERANCES, Case

NAME = "lightning_attn2"
CASES = [pytest.param(case, id=case.name) for case in load(NAME, "cpu").cases]


def functions() -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(load(NAME, "cpu").reference, NAME, "exec"), found)
    return found


def drawn(case: Case) -> tuple[torch.Tensor, ...]:
    inputs: tuple[torch.Tensor, ...] = functions()["make_inputs"](
        case.args, Draw(torch.Generator().manual_seed(7), case.distribution)
    )
    return inputs


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", [1, 256, 300])
def test_two_calls_over_parts_equal_one(case: Case, part: int) -> None:
    run = functions()[NAME]
    q, k, v, slope, state = (x.double() for x in drawn(case))
    whole, last = run(q, k, v, slope, state)
    first, between = run(q[:, :, :part], k[:, :, :part], v[:, :, :part], slope, state)
    second, end = run(q[:, :, part:], k[:, :, part:], v[:, :, part:], slope, between)
    scale = float(whole.abs().max())
    torch.testing.assert_close(torch.cat([first, second], 2), whole, rtol=1e-5, atol=1e-6 * scale)
    torch.testing.assert_close(end, last, rtol=1e-5, atol=1e-6 * float(last.abs().max()))


@pytest.mark.parametrize("case", CASES)
def test_the_quadratic_form_agrees(case: Case) -> None:
    q, k, v, slope, state = (x.double() for x in drawn(case))
    token = torch.arange(q.shape[2])
    distance = (token[:, None] - token).double()
    mask = torch.where(distance >= 0, torch.exp(-slope[:, None, None] * distance.clamp_min(0)), 0.0)
    expected = ((q @ k.mT) * mask) @ v + torch.exp(-slope[:, None, None] * (token[:, None] + 1)) * (q @ state)
    out, _ = functions()[NAME](q, k, v, slope, state)
    assert float((out - expected).norm()) < 1e-5 * float(expected.norm())


def test_a_slope_of_four_forgets_and_zero_does_not() -> None:
    q, v = torch.ones(1, 2, 600, 16), torch.ones(1, 2, 600, 16)
    k = torch.zeros(1, 2, 600, 16)
    k[:, :, 0] = 1.0
    out, state = functions()[NAME](q, k, v, torch.tensor([0.0, 4.0]), torch.zeros(1, 2, 16, 16))
    assert bool((out[0, 0] == 16).all()) and bool((state[0, 0] == 1).all())
    assert float(out[0, 1, 0].min()) == 16 and float(out[0, 1, 5:].abs().max()) < 1e-6 and not bool(state[0, 1].any())


@pytest.mark.parametrize("case", CASES)
def test_the_timed_baseline_is_right(case: Case) -> None:
    found, inputs = functions(), drawn(case)
    truth = found[NAME](*(x.double() for x in inputs))
    for mine, exact in zip(found["eager"](*inputs), truth, strict=True):
        assert compare(mine, exact, exact, TOLERANCES["TB"]).limit_share < 1
