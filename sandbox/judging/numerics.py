"""Is it right? A candidate's output against the reference in float64 (reference_suite conventions, section 2).

Differs from `torch.allclose`: the truth is float64, the scale is the output's own rms, and an honest evaluation in
the case's own dtype widens a limit that it would miss itself, to twice its error. Honest are the task's definition and,
where the task has one, its `eager`: what users write, with the roundings that a fast kernel cannot avoid either.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

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
    _LONG: ClassVar[dict[Any, torch.dtype]] = {
        **dict.fromkeys(_SHORT, torch.float64), torch.complex64: torch.complex128,
    }  # fmt: skip

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16):
            return args[0].double()
        arguments = [self._longer(a) for a in args] if _any_dtype(args) else args
        keywords = {k: self._longer(v) for k, v in (kwargs or {}).items()}
        result = func(*arguments, **keywords)
        if isinstance(result, torch.Tensor) and result.dtype in self._SHORT and func in _CREATORS:
            return result.double()
        return result

    def _longer(self, value: Any) -> Any:
        return self._LONG.get(value, value) if isinstance(value, torch.dtype) else value


_CREATORS: set[Callable[..., Any]] = {
    torch.arange, torch.zeros, torch.ones, torch.full, torch.tensor, torch.linspace, torch.eye, torch.empty,
    torch.rand, torch.randn,
}  # fmt: skip


def _any_dtype(args: Any) -> bool:
    return any(isinstance(a, torch.dtype) for a in args)


def to_float64(value: Any) -> Any:
    """A structure with all floating-point tensors in float64, complex ones in complex128."""
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            return value.to(torch.complex128)
        return value.double() if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)(to_float64(v) for v in value)
    if isinstance(value, dict):
        return {k: to_float64(v) for k, v in value.items()}
    return value


PART = 1 << 26
"""Elements that are compared at once: an output can be a tenth of a GPU's memory, and this takes a dozen copies."""
SHORTER: dict[torch.dtype, tuple[str, torch.dtype, int]] = {
    torch.float64: ("float32", torch.int64, 29), torch.float32: ("float16 or TF32", torch.int32, 13),
    torch.float16: ("bfloat16", torch.int16, 3),
}  # fmt: skip
"""For each format a shorter one, and how many of the last bits are zero in all of its values; as integers of that
dtype."""
SAMPLED, DISTINCT, NEARLY_ALL = 1 << 14, 16, 0.99
SQUARES_OVERFLOW = 1e100
"""With room for sums of them. Only float64 has such numbers; they are compared as shares of the largest."""
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
    if truth.is_complex():
        y, r, e, *u = (torch.view_as_real(x.resolve_conj()) for x in (candidate, truth, eager, users) if x is not None)
        return compare(y, r, e, tolerance, *u)
    if candidate.dtype == torch.bool:  # a byte may hold more, and is no truth value then: `&` goes by bits
        candidate, truth, eager = candidate.view(torch.uint8), truth.to(torch.uint8), eager.to(torch.uint8)
    if not truth.is_floating_point():
        wrong = int(((candidate != truth) & (candidate != eager)).sum())
        reason = f"{wrong} of {truth.numel()} elements differ" if wrong else ""
        return Comparison(rel_l2=0.0, limit_share=math.inf if wrong else 0.0, reason=reason)
    if candidate.element_size() == 1:
        return _quantised(candidate, truth.to(candidate.dtype), eager)
    sides = [side.flatten() for side in (candidate, truth, eager, *([] if users is None else [users]))]
    if candidate.dtype == torch.float64 and (largest := _largest(truth)) > SQUARES_OVERFLOW:
        sides = [side / largest for side in sides]
    parts = [[side[at : at + PART] for side in sides] for at in range(0, truth.numel(), PART)]
    if len(parts) == 1:
        figures = _figures(sides, tolerance)
    else:
        squares, count = torch.stack([_squares(*_finite(r, e)) for _, r, e, *_ in parts]).sum(0)
        each = torch.stack([_figures(part, tolerance, (squares / count.clamp_min(1)).sqrt()) for part in parts])
        figures = torch.cat([each[:, :5].sum(0), each[:, 5:].amax(0)])
    found = figures.tolist()  # one wait for the device, not seven
    verdict = _verdict([*found[:2], *map(math.sqrt, found[2:5]), *found[5:]], tolerance)
    if not verdict.reason and (shorter := _shorter(candidate, truth, eager, users)):
        reason = f"the values are those of {shorter}, in a {str(candidate.dtype).removeprefix('torch.')} output"
        return Comparison(rel_l2=verdict.rel_l2, limit_share=math.inf, reason=reason)
    return verdict


def _shorter(y: torch.Tensor, r: torch.Tensor, e: torch.Tensor, users: torch.Tensor | None) -> str:
    """The shorter format that all of `y` was rounded to, though neither truth nor honest evaluation is: limits that
    leave room for the roundings of intermediate results leave it for this as well. Empty where there is none.
    """
    if y.dtype not in SHORTER:
        return ""
    name, integer, bits = SHORTER[y.dtype]
    step = max(1, y.numel() // SAMPLED)
    sides = [side.flatten()[::step].to(y.dtype) for side in (y, r, e, *([] if users is None else [users]))]
    coarse, *others = ((side.view(integer) & ((1 << bits) - 1)) == 0 for side in sides)
    fine = torch.stack(others).logical_not().all(0) & sides[1].isfinite()
    nearly_all = bool((coarse & fine).sum() > NEARLY_ALL * fine.sum())  # seldom; one wait for the device till here
    return name if nearly_all and len(set(sides[1][fine].tolist())) >= DISTINCT else ""


def _largest(truth: torch.Tensor) -> float:
    return float(truth.nan_to_num(0, 0, 0).abs().max())


def _finite(truth: torch.Tensor, eager: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The truth in float64, 0 where either is not finite, and where both are."""
    finite = truth.isfinite() & eager.isfinite()
    return torch.where(finite, truth.double(), 0), finite


def _squares(truth: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
    return torch.stack([truth.square().sum(), finite.sum().double()])


def _figures(part: list[torch.Tensor], tolerance: Tolerance, rms: torch.Tensor | None = None) -> torch.Tensor:
    """Elements that are not finite and should be, special values that are others, the squared norms of truth, error
    and honest error, and the largest error and honest error as shares of their limits. `rms` of None is the part's own.
    """
    y, e, *users = (side.double() for side in (part[0], *part[2:]))
    r, finite = _finite(part[1], part[2])
    bad = (finite & ~y.isfinite()).sum()
    special = (~finite & ~((y == e) | (y.isnan() & e.isnan()))).sum()
    y, e = (torch.where(finite, x, 0) for x in (y, e))
    square = r.square().sum()
    rms = (square / finite.sum().clamp_min(1)).sqrt() if rms is None else rms
    bound = tolerance.atol_rms * rms + tolerance.rtol * r.abs() + torch.finfo(torch.float32).tiny
    error, honest = (y - r).abs(), (e - r).abs()
    for one in users:
        theirs = (one - r).abs()
        honest = torch.where(finite & theirs.isfinite(), torch.maximum(honest, theirs), honest)
    norms = [square, error.square().sum(), honest.square().sum()]
    return torch.stack([bad.double(), special.double(), *norms, (error / bound).max(), (honest / bound).max()])


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
