"""Is it right? A candidate's output against the reference in float64 (reference_suite conventions, section 2).

Differs from `torch.allclose`: the truth is float64, the scale is the output's own rms, and an honest evaluation in
the case's own dtype widens a limit that it would miss itself, to twice its error.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from sandbox.types import Record, Tolerance


class Comparison(Record):
    """One output against its truth."""

    rel_l2: float
    limit_share: float
    """Largest error as a share of its limit; above 1 is wrong."""
    reason: str = ""
    """Empty when it is right."""


class Float64(TorchFunctionMode):
    """Evaluates a reference in float64: every request for a shorter float becomes one for float64."""

    _SHORT = (torch.float32, torch.float16, torch.bfloat16)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16):
            return args[0].double()
        arguments = [torch.float64 if a in self._SHORT else a for a in args] if _any_dtype(args) else args
        keywords = {
            k: torch.float64 if isinstance(v, torch.dtype) and v in self._SHORT else v
            for k, v in (kwargs or {}).items()
        }
        result = func(*arguments, **keywords)
        if isinstance(result, torch.Tensor) and result.dtype in self._SHORT and func in _CREATORS:
            return result.double()
        return result


_CREATORS: set[Callable[..., Any]] = {
    torch.arange, torch.zeros, torch.ones, torch.full, torch.tensor, torch.linspace, torch.eye, torch.empty,
    torch.rand, torch.randn,
}  # fmt: skip


def _any_dtype(args: Any) -> bool:
    return any(isinstance(a, torch.dtype) for a in args)


def to_float64(value: Any) -> Any:
    """A structure with all floating-point tensors in float64."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)(to_float64(v) for v in value)
    if isinstance(value, dict):
        return {k: to_float64(v) for k, v in value.items()}
    return value


def compare(candidate: torch.Tensor, truth: torch.Tensor, eager: torch.Tensor, tolerance: Tolerance) -> Comparison:
    """Args:
    candidate: output under test, in its own dtype; same shape as `truth`.
    truth: the reference in float64 (or exact integers).
    eager: the reference in the case's dtype, on the same inputs.
    """
    if not truth.is_floating_point():
        wrong = int((candidate != truth).sum())
        reason = f"{wrong} of {truth.numel()} elements differ" if wrong else ""
        return Comparison(rel_l2=0.0, limit_share=math.inf if wrong else 0.0, reason=reason)
    y, r, e = candidate.double().flatten(), truth.double().flatten(), eager.double().flatten()
    finite = r.isfinite() & e.isfinite()
    if not bool(torch.equal(y[~finite].isfinite(), e[~finite].isfinite())) or not bool(y[finite].isfinite().all()):
        bad = int((~y[finite].isfinite()).sum())
        return Comparison(
            rel_l2=math.inf,
            limit_share=math.inf,
            reason=f"{bad} elements are NaN or infinite where the reference is finite",
        )
    special = ~finite
    if not bool(torch.equal(y[special].nan_to_num(7.0, 8.0, 9.0), e[special].nan_to_num(7.0, 8.0, 9.0))):
        return Comparison(
            rel_l2=math.inf,
            limit_share=math.inf,
            reason="NaN or infinity where the reference has another special value",
        )
    y, r, e = y[finite], r[finite], e[finite]
    if r.numel() == 0:
        return Comparison(rel_l2=0.0, limit_share=0.0)
    return _errors(y, r, e, tolerance)


def _errors(y: torch.Tensor, r: torch.Tensor, e: torch.Tensor, tolerance: Tolerance) -> Comparison:
    norm, rms = float(r.norm()), float(r.square().mean().sqrt())
    floor = torch.finfo(torch.float32).tiny
    bound = tolerance.atol_rms * rms + tolerance.rtol * r.abs() + floor
    rel_l2, honest_l2 = float((y - r).norm()) / (norm + floor), float((e - r).norm()) / (norm + floor)
    worst, honest_worst = float(((y - r).abs() / bound).max()), float(((e - r).abs() / bound).max())
    l2_limit = max(tolerance.rel_l2, 2 * honest_l2 if honest_l2 > tolerance.rel_l2 else 0.0)
    element_limit = max(1.0, 2 * honest_worst if honest_worst > 1 else 0.0)
    share = max(rel_l2 / l2_limit, worst / element_limit)
    reason = ""
    if share > 1:
        worst_share = worst / element_limit
        reason = (
            f"relative L2 error {rel_l2:.2e} (limit {l2_limit:.2e}), worst element {worst_share:.2g} times its limit"
        )
    return Comparison(rel_l2=rel_l2, limit_share=share, reason=reason)
