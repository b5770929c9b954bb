"""Interval arithmetic for the operators of synthetic programs: what values can a step produce?

None stands for "not here": the operator would do nothing, overflow, or lose accuracy on such operands.
"""

from collections.abc import Callable

Interval = tuple[float, float]
Bounds = Callable[..., Interval | None]


def monotone(f: Callable[[float], float]) -> Bounds:
    """Of an increasing function."""
    return lambda a: (f(a[0]), f(a[1]))


def within(low: float, high: float) -> Bounds:
    return lambda a: (low, high)


def product(a: Interval, b: Interval) -> Interval:
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)


def square(a: Interval) -> Interval:
    low = 0.0 if a[0] <= 0 <= a[1] else min(a[0] ** 2, a[1] ** 2)
    return low, max(a[0] ** 2, a[1] ** 2)


def if_signed(result: Bounds) -> Bounds:
    """Only where the operand takes both signs: relu of something positive is no operator."""
    return lambda a: result(a) if a[0] < 0 < a[1] else None


def if_not_mostly_negative(result: Bounds) -> Bounds:
    """For operators that fall to almost nothing below zero: fp32 would leave only rounding error of them there."""
    return lambda a: result(a) if a[0] < 0 < a[1] and a[1] >= -a[0] else None


def clamp(low: float, high: float) -> Bounds:
    return lambda a: (max(a[0], low), min(a[1], high)) if a[0] < low and a[1] > high else None


def if_small(limit: float, result: Bounds) -> Bounds:
    """Only up to a magnitude: fp32 cannot take the sine of a million."""
    return lambda a: result(a) if max(-a[0], a[1]) <= limit else None


def magnitude(a: Interval) -> Interval:
    return (0.0 if a[0] <= 0 <= a[1] else min(abs(a[0]), abs(a[1]))), max(abs(a[0]), abs(a[1]))


def rectified(a: Interval) -> Interval:
    return max(a[0], 0.0), max(a[1], 0.0)
