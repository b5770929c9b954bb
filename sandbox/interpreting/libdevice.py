"""NVIDIA's libdevice on a CPU, by symbol (`__nv_sqrtf`, …), for Triton's interpreter, which has none of it.

Triton's own module says which symbol and type a call has; here is only what the symbol computes. Results are those of
exact arithmetic, rounded once, so they may differ from the GPU's in the last places, as libdevice allows itself one or
two. Every function is here on purpose: one that the interpreter lacked would be a way round the rehearsal.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from math import inf, pi, sqrt
from typing import Any

import numpy as np
import torch

from sandbox.interpreting.open_answers import ANSWER
from sandbox.triton_private.older import fused, of_libm

Array = np.ndarray[Any, np.dtype[Any]]

_ROUNDED = re.compile(r"(?P<kind>[fd]?)(?P<name>add|sub|mul|div|sqrt|rsqrt|rcp|fma)f?_r(?P<mode>[nduz])")
_CONVERTED = re.compile(r"(double|float|int|uint|ll|ull)2(?P<made>double|float|int|uint|ll|ull)_r(?P<mode>[nduz])")
_TO_INTEGER = {"n": np.rint, "d": np.floor, "u": np.ceil, "z": np.trunc}
SAME_BITS = {
    "__nv_copysignf", "__nv_float_as_int", "__nv_float_as_uint", "__nv_int_as_float", "__nv_uint_as_float",
}  # fmt: skip
"""Of float32, what keeps numbers below the least normal one as they are. Triton sets `nvvm-reflect-ftz`, by which all
else may take them for zeros."""
_ANGLE_ERROR = 2.0**-23
"""Of the fast sine and its like, as a share of the angle."""
_PERIOD_POINTS = 4096
"""Of the integral that is J_n: exact to float64 while n + |x| stays below this."""


def compute(symbol: str, arrays: list[Array], kind: "np.dtype[Any]") -> Array:
    """The function behind `symbol` on arrays of one shape, as an array of `kind`.

    Raises:
        KeyError: there is no such function in libdevice.
    """
    name = symbol.removeprefix("__nv_")
    with np.errstate(all="ignore"):
        if match := _ROUNDED.fullmatch(name):
            near = np.asarray(_NEAREST[match["name"]](*arrays)).astype(kind)
            return near if match["mode"] == "n" else _directed(near, _side(match["name"], near, arrays), match["mode"])
        if match := _CONVERTED.fullmatch(name):
            return _converted(arrays[0], kind, match["made"], match["mode"])
        if name in _BITS:
            return np.asarray(_BITS[name](*arrays)).astype(kind, copy=False)
        made = _by_torch(name)(*map(_float64, arrays)).numpy()
        return made.astype(kind) if kind.kind == "f" else _saturated(made, kind, arrays[0].dtype)


def _float64(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(array, np.float64, ndmin=0))


def _by_torch(name: str) -> Callable[..., torch.Tensor]:
    plain = name.removeprefix("fast_")
    for known in (name, plain, plain.removesuffix("f"), plain.removesuffix("d")):
        if known in _FUNCTIONS:
            return _FUNCTIONS[known]
    raise KeyError(f"libdevice has no __nv_{name}")


def _directed(near: Array, side: Array, mode: str) -> Array:
    """The nearest number → the one to nearest even, down, up or toward zero. `side`: where exact ones are, by sign."""
    kind = near.dtype
    down = np.where(side < 0, np.nextafter(near, kind.type(-np.inf)), near)
    up = np.where(side > 0, np.nextafter(near, kind.type(np.inf)), near)
    return {"n": near, "d": down, "u": up, "z": np.where(np.signbit(near), up, down)}[mode].astype(kind)


def _side(name: str, near: Array, arrays: list[Array]) -> Array:
    """Where the exact number is beside the nearest: -1, 0 or 1. Fractions tell, slowly, what no long double does."""

    def side(found: float, *given: float) -> int:
        try:
            exact = [Fraction(number) for number in given]
            if abs(found) == inf:  # of finite numbers: too large, unless divided by zero
                return (found < 0) - (found > 0) if name not in ("div", "rcp") or exact[-1] else 0
            beyond = _EXCESS[name](Fraction(found), *exact)
        except (OverflowError, ValueError):  # infinity, NaN
            return 0
        return (beyond > 0) - (beyond < 0)

    wide = near if name == "fma" else _NEAREST[name](*(array.astype(np.longdouble) for array in arrays))
    sides, alike = np.asarray((wide > near).astype(np.int8) - (wide < near)), np.asarray(wide == near)
    sides[alike] = np.frompyfunc(side, 1 + len(arrays), 1)(near[alike], *(array[alike] for array in arrays))
    return sides


def _converted(array: Array, kind: "np.dtype[Any]", made: str, mode: str) -> Array:
    """Between integers and floats. Triton takes unsigned integers that are made for signed ones: so they are bits."""
    exact = array.astype(np.longdouble)
    if kind.kind == "f":
        near = np.asarray(exact.astype(kind))
        return _directed(near, np.sign(exact - near), mode)
    limits = np.dtype(f"u{kind.itemsize}") if made.startswith("u") else kind
    return _saturated(_TO_INTEGER[mode](exact), limits, array.dtype).view(kind)


def _saturated(whole: Array, kind: "np.dtype[Any]", source: "np.dtype[Any]") -> Array:
    """Integers; beyond the largest it is the largest, and NaN is 0 or the upper bit alone (PTX ISA, section on cvt)."""
    limits, whole = np.iinfo(kind), whole.astype(np.longdouble)
    low, high = whole <= limits.min, whole >= limits.max
    inside = np.where(low | high | np.isnan(whole), 0, whole).astype(kind)
    if source == np.float64 or kind.itemsize == 8:
        inside = np.where(np.isnan(whole), kind.type(limits.min or 1 << limits.bits - 1), inside)
    return np.asarray(np.where(low, limits.min, np.where(high, limits.max, inside))).astype(kind)


def _round_away(x: torch.Tensor) -> torch.Tensor:
    """To the nearest integer, halves away from zero."""
    whole = x.trunc()
    return whole + torch.where((x - whole).abs() >= 0.5, x.sign(), 0.0)


def _exponent(x: torch.Tensor) -> torch.Tensor:
    """floor(log2 |x|), exactly."""
    found = torch.frexp(x)[1].double() - 1
    return torch.where(x == 0, -torch.inf, torch.where(x.isinf(), torch.inf, torch.where(x.isnan(), x, found)))


def _integer_exponent(x: torch.Tensor) -> torch.Tensor:
    least, most = -(2.0**31), 2.0**31 - 1
    found = _exponent(x)
    return torch.where(x.isnan() | (x == 0), least, torch.where(x.isinf(), most, found))


def _cube_root(x: torch.Tensor) -> torch.Tensor:
    return x.sign() * x.abs() ** (1 / 3)


def _norm(*parts: torch.Tensor) -> torch.Tensor:
    """Of numbers whose squares may be too large or too small for a float."""
    sizes = torch.stack(parts).abs()
    largest = sizes.amax(0)
    scale = torch.where((largest > 0) & largest.isfinite(), largest, 1.0)
    return torch.where(sizes.isinf().any(0), torch.inf, (sizes / scale).square().sum(0).sqrt() * scale)


def _approximate(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A function of an angle that is first made a part of a circle, in float32. CUDA promises nothing of angles beyond
    pi: the error grows with them, until it is all.
    """

    def approximate(x: torch.Tensor) -> torch.Tensor:
        if not bool((x.abs() > pi).any()):
            return function(x)
        circles = (x.float() * torch.tensor(1 / (2 * pi), dtype=torch.float32)).double()
        noise = torch.from_numpy(np.random.default_rng().uniform(-1, 1, x.shape)) * _ANGLE_ERROR
        found = ANSWER.among(function(x + x * noise), function(circles * (2 * pi)), function(x))
        return torch.where(x.abs() > pi, found, function(x))

    return approximate


def _fast_divided(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Where the divisor is huge, its reciprocal is 0 to the approximate division (PTX ISA, section on div)."""
    return torch.where((y.abs() > 2.0**126) & y.isfinite(), x * 0.0, x / y)


def _bessel_j(n: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """J_n(x) = mean over a period of cos(n t - x sin t): the trapezoidal rule converges exponentially."""
    found = torch.zeros_like(x)
    for step in range(_PERIOD_POINTS):
        t = torch.tensor(2 * pi * step / _PERIOD_POINTS, dtype=torch.float64)
        found += torch.cos(n * t - x * torch.sin(t))
    return torch.where(n < 0, torch.nan, found / _PERIOD_POINTS)


def _bessel_y(n: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Y_n(x), upward from Y_0 and Y_1, which is stable."""
    before, found = torch.special.bessel_y0(x), torch.special.bessel_y1(x)
    result = torch.where(n == 0, before, found)
    for order in range(1, int(n.max()) if n.numel() else 0):
        before, found = found, 2 * order / x * found - before
        result = torch.where(n == order + 1, found, result)
    return torch.where(n < 0, torch.nan, result)


_FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    **{name: getattr(torch, name) for name in """
    acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh erf erfc erfinv exp exp2 expm1 floor hypot
    isfinite isinf isnan lgamma log log10 log1p log2 pow rsqrt signbit sin sinh sqrt tan tanh trunc
    """.split()},
    "fabs": torch.abs, "rint": torch.round, "nearbyint": torch.round, "llrint": torch.round, "round": _round_away,
    "llround": _round_away, "finite": torch.isfinite, "isfinited": torch.isfinite, "powi": torch.pow,
    "fdividef": torch.div, "fast_sinf": _approximate(torch.sin), "fast_cosf": _approximate(torch.cos),
    "fast_tanf": _approximate(torch.tan),
    "fast_fdividef": _fast_divided, "fast_powf": lambda x, y: torch.exp2(y * torch.log2(x)),
    "exp10": lambda x: 10.0**x, "cbrt": _cube_root, "rcbrt": lambda x: 1 / _cube_root(x),
    "normcdf": torch.special.ndtr, "normcdfinv": torch.special.ndtri, "erfcx": torch.special.erfcx,
    "erfcinv": lambda x: -torch.special.ndtri(x / 2) / sqrt(2), "sinpi": lambda x: torch.sin(pi * (x % 2)),
    "cospi": lambda x: torch.cos(pi * (x % 2)), "cyl_bessel_i0": torch.special.i0, "cyl_bessel_i1": torch.special.i1,
    "j0": torch.special.bessel_j0, "j1": torch.special.bessel_j1, "y0": torch.special.bessel_y0,
    "y1": torch.special.bessel_y1, "jn": _bessel_j, "yn": _bessel_y, "logb": _exponent, "ilogb": _integer_exponent,
    "fdim": lambda a, b: torch.where(a.isnan() | b.isnan(), torch.nan, (a - b).clamp_min(0)),
    "saturate": lambda x: x.nan_to_num(0.0, 1.0, 0.0).clamp(0, 1), "rhypot": lambda x, y: 1 / torch.hypot(x, y),
    "norm3d": _norm, "norm4d": _norm,
    "rnorm3d": lambda *x: 1 / _norm(*x), "rnorm4d": lambda *x: 1 / _norm(*x),
}  # fmt: skip
"""On float64, rounded to the result's type afterwards; names without `__nv_`, a last `f` or `d`, and, but where it is
another function, `fast_`."""

_NEAREST: dict[str, Callable[..., Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x.astype(np.longdouble)), "rcp": lambda x: 1 / x, "fma": fused,
}  # fmt: skip
_EXCESS: dict[str, Callable[..., Fraction]] = {
    "add": lambda near, a, b: a + b - near, "sub": lambda near, a, b: a - b - near,
    "mul": lambda near, a, b: a * b - near, "div": lambda near, a, b: a / b - near,
    "sqrt": lambda near, x: x - near * near, "rcp": lambda near, x: 1 / x - near,
    "fma": lambda near, a, b, c: a * b + c - near,
}  # fmt: skip
"""Of the exact result over the nearest number, which `_NEAREST` is, rounded once: its sign."""


def _count(array: Array, bits: Callable[[str], int]) -> Array:
    """`bits` of each element's binary digits, written out to its width."""
    width = array.dtype.itemsize * 8
    plain = array.view(np.dtype(f"u{array.dtype.itemsize}"))
    return np.array([bits(f"{int(x):0{width}b}") for x in plain.flat], np.int64).reshape(plain.shape)


def _leading_zeros(digits: str) -> int:
    return len(digits) - len(digits.lstrip("0"))


def _first_set(digits: str) -> int:
    """1 for the lowest bit; 0: none is set."""
    return len(digits) - digits.rindex("1") if "1" in digits else 0


def _permuted(low: Array, high: Array, selector: Array) -> Array:
    """Four of the eight bytes of `high:low`, one by each of the selector's lowest four digits (bit 3: its sign)."""
    joined = (high.astype(np.uint32).astype(np.uint64) << np.uint64(32)) | low.astype(np.uint32).astype(np.uint64)
    found = np.zeros(np.shape(joined), np.uint64)
    for place in range(4):
        digit = (selector.astype(np.uint32).astype(np.uint64) >> np.uint64(4 * place)) & np.uint64(15)
        byte = (joined >> ((digit & np.uint64(7)) * np.uint64(8))) & np.uint64(255)
        sign = (byte >> np.uint64(7)) * np.uint64(255)
        found |= np.where(digit & np.uint64(8), sign, byte) << np.uint64(8 * place)
    return found.astype(np.uint32).astype(low.dtype)


def _high_product(a: Array, b: Array) -> Array:
    """The upper half of the product of integers of one width."""
    width = a.dtype.itemsize * 8
    exact: Array = (a.astype(object) * b.astype(object)) >> width
    return exact.astype(a.dtype)


def _low_24(array: Array) -> Array:
    """The lowest 24 bits, with their sign where the type has one, as 64-bit integers."""
    bits = array.astype(np.int64) & 0xFFFFFF
    return np.where(bits >> 23, bits - (1 << 24), bits) if array.dtype.kind == "i" else bits


def _wrapped(array: Array, kind: "np.dtype[Any]") -> Array:
    """64-bit integers to 32 bits, the upper ones dropped."""
    return array.astype(np.uint64).astype(np.uint32).view(kind)


def _view(kind: str) -> Callable[[Array], Array]:
    return lambda array: np.ascontiguousarray(array).view(kind)


def _halved(extra: int) -> Callable[[Array, Array], Array]:
    return lambda a, b: (a.astype(np.int64) + b.astype(np.int64) + extra) >> 1


_BITS: dict[str, Callable[..., Array]] = {
    **dict.fromkeys(("fma", "fmaf"), fused), **dict.fromkeys(("fmod", "fmodf"), np.fmod),
    **dict.fromkeys(("tgamma", "tgammaf"), of_libm("tgamma", 1)),
    **dict.fromkeys(("remainder", "remainderf"), of_libm("remainder", 2)),
    **dict.fromkeys(("ldexp", "ldexpf", "scalbn", "scalbnf"), np.ldexp),
    "abs": np.abs, "llabs": np.abs, "nextafter": np.nextafter, "nextafterf": np.nextafter,
    "float_as_int": _view("i4"), "float_as_uint": _view("u4"), "int_as_float": _view("f4"),
    "uint_as_float": _view("f4"), "double_as_longlong": _view("i8"), "longlong_as_double": _view("f8"),
    "double2hiint": lambda x: (_view("i8")(x) >> 32).astype(np.int32),
    "double2loint": lambda x: _view("i8")(x).astype(np.uint64).astype(np.uint32).view(np.int32),
    "hiloint2double": lambda hi, lo: ((hi.astype(np.int64) << 32) | lo.astype(np.int64) & 0xFFFFFFFF).view("f8"),
    "rcp64h": lambda x: (_view("i8")(1 / x) & ~0xFFFFFFFF).view("f8"),
    "brev": lambda x: _count(x, lambda d: int(d[::-1], 2)).astype(np.uint32).view(x.dtype),
    "brevll": lambda x: np.array([int(f"{int(v):064b}"[::-1], 2) for v in x.view(np.uint64).flat], np.uint64)
    .reshape(x.shape).view(x.dtype),
    "clz": lambda x: _count(x, _leading_zeros), "clzll": lambda x: _count(x, _leading_zeros),
    "ffs": lambda x: _count(x, _first_set), "ffsll": lambda x: _count(x, _first_set),
    "popc": lambda x: _count(x, lambda d: d.count("1")), "popcll": lambda x: _count(x, lambda d: d.count("1")),
    "byte_perm": _permuted, "hadd": _halved(0), "uhadd": _halved(0), "rhadd": _halved(1), "urhadd": _halved(1),
    "mul24": lambda a, b: _wrapped(_low_24(a) * _low_24(b), a.dtype),
    "umul24": lambda a, b: _wrapped(_low_24(a) * _low_24(b), a.dtype),
    "mulhi": _high_product, "umulhi": _high_product, "mul64hi": _high_product, "umul64hi": _high_product,
    "sad": lambda a, b, c: _wrapped(np.abs(a.astype(np.int64) - b.astype(np.int64)) + c.astype(np.int64), c.dtype),
    "usad": lambda a, b, c: _wrapped(np.abs(a.astype(np.int64) - b.astype(np.int64)) + c.astype(np.int64), c.dtype),
}  # fmt: skip
"""On the arguments as they are."""
