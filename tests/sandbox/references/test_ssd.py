"""State-space operators: states can be handed over, a step is a prefill of one token, and `eager` is near enough."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sandbox.judging.draw import Draw
from sandbox.references import load
from sandbox.types import Case

CASES = [pytest.param(n, c, id=f"{n}-{c.name}") for n in ("ssd_prefill", "ssd_decode") for c in load(n, "cpu").cases]
Tensors = tuple[torch.Tensor, ...]


def functions(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(load(name, "cpu").reference, name, "exec"), found)
    return found


def inputs(name: str, args: dict[str, Any], distribution: Any = "normal") -> Tensors:
    drawn = functions(name)["make_inputs"](args, Draw(torch.Generator().manual_seed(0), distribution))
    assert isinstance(drawn, tuple)
    return drawn


def near(a: torch.Tensor, b: torch.Tensor, limit: float) -> None:
    """Relative L2 distance."""
    assert a.shape == b.shape and a.dtype == b.dtype
    assert float((a.double() - b.double()).norm()) <= limit * float(b.double().norm())


@pytest.mark.parametrize(("name", "case"), CASES)
def test_eager_agrees_with_the_definition(name: str, case: Case) -> None:
    reference, drawn = functions(name), inputs(name, case.args, case.distribution)
    limit = 8e-3 if case.args["dtype"] == "bfloat16" else 1e-5
    results = reference["eager"](*(t.clone() for t in drawn))
    for found, expected in zip(results, reference[name](*drawn), strict=True):
        near(found, expected, limit)


def test_eager_step_changes_both_states_in_place() -> None:
    args = {"b": 2, "h": 2, "p": 16, "n": 16, "g": 1, "dtype": "float32"}
    drawn = inputs("ssd_decode", args)
    h, conv = drawn[0].clone(), drawn[1].clone()
    _, new_h, new_conv = functions("ssd_decode")["eager"](*drawn)
    assert new_h is drawn[0] and new_conv is drawn[1] and load("ssd_decode", "cpu").mutates == (0, 1)
    assert not torch.equal(h, new_h) and torch.equal(new_conv[..., :3], conv[..., 1:])


@pytest.mark.parametrize("cut", [1, 100, 128, 255])
@pytest.mark.parametrize("form", ["ssd_prefill", "eager"])
def test_two_calls_with_state_handed_over_agree_with_one(form: str, cut: int) -> None:
    args = {"b": 2, "l": 300, "h": 4, "p": 16, "n": 16, "g": 2, "dtype": "float32"}
    x, dt, a, b, c, d, h0 = inputs("ssd_prefill", args)
    run = functions("ssd_prefill")[form]
    y, state = run(x, dt, a, b, c, d, h0)
    first, middle = run(x[:, :cut], dt[:, :cut], a, b[:, :cut], c[:, :cut], d, h0)
    second, last = run(x[:, cut:], dt[:, cut:], a, b[:, cut:], c[:, cut:], d, middle)
    near(torch.cat([first, second], 1), y, 1e-5)
    near(last, state, 1e-5)


def test_64_steps_agree_with_a_prefill_of_the_same_tokens() -> None:
    """The convolution is the only thing that a prefill does not hold: it is done by torch here."""
    batch, heads, p, n, groups, tokens = 2, 4, 16, 8, 2, 64
    args = {"b": batch, "h": heads, "p": p, "n": n, "g": groups, "dtype": "float32"}
    h0, conv0, _, cw, cb, _, a, d = inputs("ssd_decode", args)
    xbc = torch.randn(batch, tokens, conv0.shape[1], generator=torch.Generator().manual_seed(1))
    dt = F.softplus(torch.randn(batch, tokens, heads, generator=torch.Generator().manual_seed(2)) - 4)
    h, conv, steps = h0, conv0, []
    for t in range(tokens):
        y, h, conv = functions("ssd_decode")["ssd_decode"](h, conv, xbc[:, t], cw, cb, dt[:, t], a, d)
        steps.append(y)
    window = torch.cat([conv0[..., 1:], xbc.mT], -1)
    u = F.silu(F.conv1d(window, cw[:, None], cb, groups=cw.shape[0])).mT
    x, b, c = u.tensor_split((heads * p, heads * p + groups * n), -1)
    x, b, c = (t.reshape(batch, tokens, -1, last) for t, last in ((x, p), (b, n), (c, n)))
    expected, state = functions("ssd_prefill")["ssd_prefill"](x, dt, a, b, c, d, h0)
    near(torch.stack(steps, 1), expected, 1e-5)
    near(h, state, 1e-5)
    assert torch.equal(conv, xbc[:, -4:].mT)


def test_long_decays_neither_overflow_nor_lose_the_recent_past() -> None:
    """With steps of 5 and A = -16 a token is forgotten at once: y = (dt C·B + D) x."""
    x, dt, a, b, c, d, h0 = inputs(
        "ssd_prefill", {"b": 1, "l": 300, "h": 2, "p": 16, "n": 16, "g": 1, "dtype": "float32"}
    )
    dt, a = torch.full_like(dt, 5.0), torch.full_like(a, -16.0)
    score = 5.0 * (b * c).sum(-1, keepdim=True)
    for form in ("ssd_prefill", "eager"):
        y, state = functions("ssd_prefill")[form](x, dt, a, b, c, d, h0)
        near(y, score * x + d[:, None] * x, 1e-5)
        near(state, 5.0 * x[:, -1, :, :, None] * b[:, -1, :, None], 1e-5)


def test_costs_of_the_typical_cases() -> None:
    """43.5 Gflop in chunks of 256 become 27 in chunks of 64; the fp32 state is nearly all that a step moves."""
    costs = {}
    for name in ("ssd_prefill", "ssd_decode"):
        case = next(case for case in load(name, "gpu").cases if case.name == "t")
        costs[name] = functions(name)["cost"](case.args)
    assert 26e9 < costs["ssd_prefill"]["flops"] < 28e9 and 170e6 < costs["ssd_prefill"]["bytes"] < 185e6
    assert 1.0 < costs["ssd_decode"]["bytes"] / (8 * 128 * 80 * 64 * 128) < 1.05
