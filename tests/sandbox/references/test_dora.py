"""DoRA: every term of the norms and of delta counts in every case, and the timed baselines compute the same."""

from typing import Any

import pytest
import torch

from sandbox.judging.draw import Draw
from sandbox.judging.numerics import compare
from sandbox.references import load
from sandbox.types import TOLERANCES, Case


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case.name) for case in load(name, "cpu").cases]


def functions(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(load(name, "cpu").reference, name, "exec"), found)
    return found


def drawn(name: str, case: Case) -> tuple[Any, ...]:
    generator = torch.Generator().manual_seed(7)
    inputs: tuple[Any, ...] = functions(name)["make_inputs"](case.args, Draw(generator, case.distribution))
    return inputs


@pytest.mark.parametrize("case", cases("dora_norm"))
def test_norm_without_a_term_is_wrong(case: Case) -> None:
    w, a, b, s = drawn("dora_norm", case)
    norms = functions("dora_norm")["dora_norm"](w, a, b, s)
    w, a, b = w.double(), a.double(), b.double()
    base, cross, gram = w.square().sum(1), 2 * s * ((w @ a.T) * b).sum(1), s * s * (b @ a).square().sum(1)
    tolerance = TOLERANCES[load("dora_norm", "cpu").tolerance]
    assert not compare((base + cross + gram).clamp_min(0).sqrt(), norms.double(), norms, tolerance).reason
    for part in (cross + gram, base + gram, base + cross):
        assert compare(part.clamp_min(0).sqrt(), norms.double(), norms, tolerance).reason


@pytest.mark.parametrize("case", cases("dora_norm"))
def test_timed_norm_is_right(case: Case) -> None:
    inputs, run = drawn("dora_norm", case), functions("dora_norm")
    norms, timed = run["dora_norm"](*inputs), run["eager"](*inputs)
    assert timed.dtype == norms.dtype
    assert not compare(timed, norms.double(), norms, TOLERANCES["TT"]).reason


@pytest.mark.parametrize("case", cases("dora_compose"))
def test_timed_composition_is_right(case: Case) -> None:
    inputs, run = drawn("dora_compose", case), functions("dora_compose")
    for expected, timed in zip(run["dora_compose"](*inputs), run["eager"](*inputs), strict=True):
        assert timed.dtype == expected.dtype
        assert not compare(timed, expected.double(), expected, TOLERANCES["TB"]).reason


@pytest.mark.parametrize("case", cases("dora_compose"))
def test_gain_rounded_before_one_is_subtracted_loses_delta(case: Case) -> None:
    """y does not show it: that is why delta is an output."""
    base, lora, mag, norm, s = drawn("dora_compose", case)
    y, delta = functions("dora_compose")["dora_compose"](base, lora, mag, norm, s)
    g = (mag / norm).bfloat16().float()
    rounded = (g - 1) * base.float() + g * s * lora.float()
    assert not compare((base.float() + rounded).to(y.dtype), y.double(), y, TOLERANCES["TB"]).reason
    assert compare(rounded.to(delta.dtype), delta.double(), delta, TOLERANCES["TB"]).rel_l2 > 0.1
