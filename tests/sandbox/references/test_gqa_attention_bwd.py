"""Properties of the attention backward pass that one formulation alone does not show."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sandbox.judging.draw import Draw
from sandbox.references import load
from sandbox.types import Case

CASES = load("gqa_attention_bwd", "cpu").cases


def functions(name: str = "gqa_attention_bwd") -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(load(name, "cpu").reference, name, "exec"), found)
    return found


def draw(case: Case) -> tuple[Any, ...]:
    generator = torch.Generator().manual_seed(7)
    inputs: tuple[Any, ...] = functions()["make_inputs"](case.args, Draw(generator, case.distribution))
    return inputs


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_inputs_hold_the_outputs_of_the_forward_pass(case: Case) -> None:
    _, q, k, v, o, lse, causal = draw(case)
    expected, sums = functions("gqa_attention_fwd")["gqa_attention_fwd"](q, k, v, causal)
    assert (o.dtype, lse.dtype) == (q.dtype, torch.float32)
    torch.testing.assert_close(o, expected, rtol=1e-2, atol=1e-5)
    torch.testing.assert_close(lse, sums)


def test_is_the_gradient_of_attention() -> None:
    """With o and lse unrounded, autograd through torch's own attention."""
    generator = torch.Generator().manual_seed(3)
    q, do = (torch.randn(2, 6, 19, 16, generator=generator, dtype=torch.float64) for _ in range(2))
    k, v = (torch.randn(2, 2, 33, 16, generator=generator, dtype=torch.float64) for _ in range(2))
    visible = torch.ones(19, 33, dtype=torch.bool).tril(33 - 19)
    leaves = [x.requires_grad_() for x in (q, k, v)]
    o = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=0.3, enable_gqa=True)
    expected = torch.autograd.grad(o, leaves, do)
    with torch.no_grad():
        scores = (0.3 * q @ k.repeat_interleave(3, 1).mT).masked_fill(~visible, -torch.inf)
        found = functions()["gqa_attention_bwd"](do, q, k, v, o, scores.logsumexp(-1), True, 0.3)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)  # the definition computes in fp32


@pytest.mark.parametrize("name", ["SLICE_ELEMENTS", "EAGER_ELEMENTS"])
@pytest.mark.parametrize("case", CASES[2:4], ids=[case.name for case in CASES[2:4]])
def test_slicing_changes_nothing(case: Case, name: str) -> None:
    inputs, found = draw(case), functions()
    entry = "eager" if name == "EAGER_ELEMENTS" else "gqa_attention_bwd"
    whole = found[entry](*inputs)
    found[name] = 1
    for a, b in zip(whole, found[entry](*inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-2, atol=1e-2 if entry == "eager" else 2e-3)  # it rounds every part


def test_cost_counts_the_visible_pairs() -> None:
    for length, keys in ((5, 5), (3, 7), (7, 3)):
        args = {"b": 2, "hq": 4, "hk": 2, "l": length, "s": keys, "d": 8, "causal": True, "dtype": "bfloat16"}
        pairs = int(torch.ones(length, keys).tril(keys - length).sum())
        for name, products in (("gqa_attention_fwd", 2), ("gqa_attention_bwd", 5)):
            assert functions(name)["cost"](args)["flops"] == 2 * products * 2 * 4 * pairs * 8
