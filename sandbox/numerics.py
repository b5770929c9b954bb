"""Is it right? A candidate's output against the reference in float64 (reference_suite conventions, section 2).

Differs from `torch.allclose`: the truth is float64, the scale is the output's own rms, and an honest evaluation in
the case's own dtype widens a limit that it would miss itself, to twice its error. Honest are the task's definition and,
where the task has one, its `eager`: what users write, with the roundings that a fast kernel cannot avoid either.
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


QUANTISED_SLACK = 1e-3
"""Share of the elements of an 8-bit float output that may be one code off: ties that round otherwise."""


def compare(
    candidate: torch.Tensor, truth: torch.Tensor, eager: torch.Tensor, tolerance: Tolerance,
    users: torch.Tensor | None = None,
) -> Comparison:  # fmt: skip
    """Args:
    candidate: output under test, in its own dtype; same shape as `truth`.
    truth: the reference in float64 (or exact integers).
    eager: the reference in the case's dtype, on the same inputs.
    users: what users write, likewise, where the task says so; its error widens the limits too.

    Integers must equal truth or eager, element by element: rounding to an integer may tie.
    """
    if truth.numel() == 0:
        return Comparison(rel_l2=0.0, limit_share=0.0)
    if not truth.is_floating_point():
        wrong = int(((candidate != truth) & (candidate != eager)).sum())
        reason = f"{wrong} of {truth.numel()} elements differ" if wrong else ""
        return Comparison(rel_l2=0.0, limit_share=math.inf if wrong else 0.0, reason=reason)
    if candidate.element_size() == 1:
        return _quantised(candidate, truth.to(candidate.dtype), eager)
    y, r, e = candidate.double().flatten(), truth.double().flatten(), eager.double().flatten()
    finite = r.isfinite() & e.isfinite()
    bad = (finite & ~y.isfinite()).sum()
    special = (~finite & ~((y == e) | (y.isnan() & e.isnan()))).sum()
    zero = torch.zeros((), dtype=torch.float64, device=r.device)
    y, r, e = (torch.where(finite, x, zero) for x in (y, r, e))
    scale = r.abs().amax().clamp_min(1.0)  # squares of large float64 numbers are infinite, and then so is every limit
    y, r, e = y / scale, r / scale, e / scale
    rms = (r.square().sum() / finite.sum().clamp_min(1)).sqrt()
    bound = tolerance.atol_rms * rms + tolerance.rtol * r.abs() + torch.finfo(torch.float32).tiny
    error, honest = (y - r).abs(), (e - r).abs()
    if users is not None:
        theirs = (users.double().flatten() / scale - r).abs()
        honest = torch.where(finite & theirs.isfinite(), torch.maximum(honest, theirs), honest)
    figures = [bad, special, r.norm(), error.norm(), honest.norm(), (error / bound).max(), (honest / bound).max()]
    found = torch.stack([figure.double() for figure in figures]).tolist()  # one wait for the device, not seven
    return _verdict(found, tolerance)


def _verdict(found: list[float], tolerance: Tolerance) -> Comparison:
    bad, special, norm, error, honest, worst, honest_worst = found
    if bad or special:
        reason = (
            f"{bad:.0f} elements are NaN or infinite where the reference is finite" if bad
            else "NaN or infinity where the reference has another special value"
        )  # fmt: skip
        return Comparison(rel_l2=math.inf, limit_share=math.inf, reason=reason)
    floor = torch.finfo(torch.float32).tiny
    rel_l2, honest_l2 = error / (norm + floor), honest / (norm + floor)
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


def _quantised(candidate: torch.Tensor, truth: torch.Tensor, eager: torch.Tensor) -> Comparison:
    """8-bit floats, by their codes: equal to truth or eager, but for a few that are one step away."""
    y, r, e = (_ordered_codes(x) for x in (candidate, truth, eager))
    away = torch.minimum((y - r).abs(), (y - e).abs())
    wrong, near = int((away > 1).sum()), int((away == 1).sum())
    slack = QUANTISED_SLACK * y.numel()
    reason = f"{wrong + near} of {y.numel()} elements differ" if wrong or near > slack else ""
    return Comparison(rel_l2=0.0, limit_share=math.inf if reason else near / max(1.0, slack), reason=reason)


def _ordered_codes(x: torch.Tensor) -> torch.Tensor:
    """Integers in the order of the values; both zeros are 0."""
    code = x.contiguous().view(torch.uint8).to(torch.int16).flatten()
    return torch.where(code < 128, code, 128 - code)
