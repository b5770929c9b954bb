"""Neighbourhood attention: the sets of neighbours, the baselines, and the limits in which it is something simpler."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sandbox.judging.draw import Draw
from sandbox.references import load
from sandbox.types import Case

TASK = load("na2d_fused", "cpu")
REFERENCE: dict[str, Any] = {}
exec(compile(TASK.reference, "na2d_fused", "exec"), REFERENCE)


def inputs(case: Case) -> tuple[Any, ...]:
    draw = Draw(torch.Generator().manual_seed(0), case.distribution)
    drawn: tuple[Any, ...] = REFERENCE["make_inputs"](dict(case.args), draw)
    return drawn


@pytest.mark.parametrize("length, window, dilation", [(10, 5, 1), (13, 3, 3), (17, 4, 2), (9, 9, 1), (21, 1, 4)])
def test_windows_are_shifted_not_cut(length: int, window: int, dilation: int) -> None:
    seen = REFERENCE["neighbours"](length, window, dilation, "cpu")
    assert seen.shape == (length, window) and int(seen.min()) == 0 and int(seen.max()) == length - 1
    assert bool((seen.diff(dim=1) == dilation).all())
    assert bool((seen == torch.arange(length)[:, None]).any(1).all()), "every position sees itself"
    inner = torch.arange(length)[window // 2 * dilation : length - window // 2 * dilation]
    assert bool((seen[inner, 0] == inner - window // 2 * dilation).all())


@pytest.mark.parametrize("name", ["eager", "library"])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in TASK.cases])
def test_baselines_agree(name: str, case: Case) -> None:
    q, k, v, window, dilation = inputs(case)
    q, k, v = q.float(), k.float(), v.float()
    expected = REFERENCE["na2d_fused"](q, k, v, window, dilation)
    torch.testing.assert_close(REFERENCE[name](q, k, v, window, dilation), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name, constant", [("na2d_fused", "SLICE_ELEMENTS"), ("eager", "GATHER_ELEMENTS")])
def test_slicing_changes_nothing(name: str, constant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = inputs(TASK.cases[1])
    whole = REFERENCE[name](*drawn)
    monkeypatch.setitem(REFERENCE, constant, 1)
    torch.testing.assert_close(REFERENCE[name](*drawn), whole)


def test_the_whole_image_is_dense_attention_and_one_pixel_is_its_value() -> None:
    q, k, v = (torch.randn(1, 6, 6, 2, 16) for _ in range(3))
    flat_q, flat_k, flat_v = (x.flatten(1, 2).transpose(1, 2) for x in (q, k, v))
    found = REFERENCE["na2d_fused"](q, k, v, 6)
    dense = F.scaled_dot_product_attention(flat_q, flat_k, flat_v)
    torch.testing.assert_close(found.flatten(1, 2).transpose(1, 2), dense)
    torch.testing.assert_close(REFERENCE["na2d_fused"](q, k, v, 1, 3), v)
