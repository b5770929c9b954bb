"""Squeezed attention: a clear gap at the threshold, eager's agreement, and the limits in which it is dense."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sandbox.judging.draw import Draw
from sandbox.references import load
from sandbox.types import Case

TASK = load("squeezed_attention", "cpu")
CASES = [pytest.param(case, id=case.name) for case in TASK.cases]
REFERENCE: dict[str, Any] = {}
exec(compile(TASK.reference, "squeezed_attention", "exec"), REFERENCE)


def inputs(case: Case, seed: int = 0) -> tuple[Any, ...]:
    draw = Draw(torch.Generator().manual_seed(seed), case.distribution)
    drawn: tuple[Any, ...] = REFERENCE["make_inputs"](dict(case.args), draw)
    return drawn


@pytest.mark.parametrize("case", CASES)
def test_no_importance_is_near_the_threshold(case: Case) -> None:
    for seed in range(10):
        q, _, _, cent, label, cnt, thr, block = inputs(case, seed)
        ratio = REFERENCE["importance"](q, cent, cnt, block) / thr
        assert float(torch.maximum(ratio, 1 / ratio).min()) > 1.1
        kept = torch.stack(REFERENCE["kept_keys"](q, cent, label, cnt, thr, block))
        assert bool(kept.any(-1).all()) and not bool(kept.all(-1).any())
        assert bool((cnt == torch.stack([row.bincount(minlength=cnt.shape[1]) for row in label])).all())


@pytest.mark.parametrize("case", CASES)
def test_eager_agrees(case: Case) -> None:
    drawn = inputs(case)
    expected, found = REFERENCE["squeezed_attention"](*drawn), REFERENCE["eager"](*drawn)
    assert found.dtype == expected.dtype
    assert (found.float() - expected.float()).norm() < 5e-3 * expected.float().norm()


@pytest.mark.parametrize("case", CASES[:4])
def test_a_low_threshold_is_dense_attention(case: Case) -> None:
    drawn = [x.float() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs(case)]
    drawn[6] = torch.zeros(1)
    torch.testing.assert_close(REFERENCE["squeezed_attention"](*drawn), REFERENCE["library"](*drawn))


def test_dense_attention_is_near_but_not_within_tolerance() -> None:
    drawn = inputs(TASK.cases[-1])
    squeezed, dense = (REFERENCE[name](*drawn).float() for name in ("squeezed_attention", "library"))
    assert float(F.cosine_similarity(squeezed, dense, dim=-1).min()) > 0.95
    assert float((squeezed - dense).norm() / squeezed.norm()) > 0.02


def test_slicing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = inputs(TASK.cases[1])
    whole = REFERENCE["squeezed_attention"](*drawn)
    monkeypatch.setitem(REFERENCE, "SLICE_ELEMENTS", 1)
    torch.testing.assert_close(REFERENCE["squeezed_attention"](*drawn), whole)
