"""Numbers that numpy lacks, or makes of others as a processor does, under the interpreter."""

import functools
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import triton.language as tl
from triton._C.libtriton import ir
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from sandbox.interpreting.open_answers import ANSWER
from sandbox.triton_private import floats as triton_floats
from sandbox.triton_private import interpreter as triton_interpreter
from sandbox.triton_private import older as triton_older

FLOAT8 = {"float8e4nv": (4, 3, 7), "float8e5": (5, 2, 15)}
"""Bits of exponent and mantissa, and the exponent's bias."""


@functools.cache
def decoded(name: str) -> list[float]:
    """The number that each of the 256 codes stands for, by the definition of the format."""
    exponent_bits, mantissa_bits, bias = FLOAT8[name]
    numbers = []
    for code in range(256):
        exponent, mantissa = code >> mantissa_bits & (1 << exponent_bits) - 1, code & (1 << mantissa_bits) - 1
        if name == "float8e4nv" and code & 0x7F == 0x7F:
            number = math.nan
        elif name == "float8e5" and exponent == 31:
            number = math.nan if mantissa else math.inf
        else:
            number = (mantissa / (1 << mantissa_bits) + bool(exponent)) * 2.0 ** (max(exponent, 1) - bias)
        numbers.append(-number if code & 0x80 else number)
    return numbers


def nearest(name: str, x: float) -> int:
    """The code of the number that is nearest to `x`; of two the even one; the largest for what is beyond it."""
    if math.isnan(x):
        return 0x7F
    finite = {code: y for code, y in enumerate(decoded(name)[:128]) if math.isfinite(y)}
    size = min(abs(x), max(finite.values()))
    code = min(finite, key=lambda code: (abs(finite[code] - size), code & 1))
    return code | (0x80 if math.copysign(1.0, x) < 0 else 0)


@pytest.fixture
def builder() -> Iterator[InterpreterBuilder]:
    before = dict(vars(InterpreterBuilder))
    triton_interpreter.mend_numbers.__wrapped__()
    yield InterpreterBuilder()
    for name, method in before.items():
        if vars(InterpreterBuilder)[name] is not method:
            setattr(InterpreterBuilder, name, method)


@pytest.mark.parametrize("name", FLOAT8)
def test_float8_is_rounded_to_nearest_even_and_saturates(builder: InterpreterBuilder, name: str) -> None:
    """On every number of the format, every tie between two of them, and the float32 next to each."""
    exact = np.array(sorted(y for y in decoded(name)[:128] if math.isfinite(y)), np.float32)
    ties = (exact[1:] + exact[:-1]) / 2
    beyond = np.array([exact[-1] * 1.01, exact[-1] * 1.0625, exact[-1] * 2, 1e30, np.inf, np.nan], np.float32)
    points = np.concatenate([exact, ties, beyond])
    with np.errstate(over="ignore"):
        points = np.concatenate([points, np.nextafter(points, np.float32(np.inf)), np.nextafter(points, np.float32(0))])
    points = np.concatenate([points, -points])
    kind = getattr(tl, name)
    found = builder.create_fp_to_fp(TensorHandle(points, tl.float32), kind, ir.ROUNDING_MODE.RTNE).data
    assert found.tolist() == [nearest(name, float(x)) for x in points]
    cut = builder.create_fp_to_fp(TensorHandle(points, tl.float32), kind, ir.ROUNDING_MODE.RTZ).data
    sizes = np.abs(np.array(decoded(name))[cut])[np.isfinite(points)]
    expected = exact[np.searchsorted(exact, np.abs(points[np.isfinite(points)]), side="right") - 1]
    assert np.array_equal(sizes, expected)


@pytest.mark.parametrize("name", FLOAT8)
def test_float8_becomes_the_number_that_it_stands_for(builder: InterpreterBuilder, name: str) -> None:
    codes = TensorHandle(np.arange(256, dtype=np.uint8), getattr(tl, name))
    for wide in (tl.float32, tl.float16):
        np.testing.assert_array_equal(builder.create_fp_to_fp(codes, wide, None).data, np.array(decoded(name)))
    brain = builder.create_fp_to_fp(codes, tl.bfloat16, None).data
    np.testing.assert_array_equal((brain.astype(np.uint32) << 16).view(np.float32), np.array(decoded(name)))


def test_float16_becomes_the_nearest_float8(builder: InterpreterBuilder) -> None:
    halves = np.arange(0, 1 << 16, 7, dtype=np.uint16).view(np.float16)
    found = builder.create_fp_to_fp(TensorHandle(halves, tl.float16), tl.float8e4nv, ir.ROUNDING_MODE.RTNE).data
    assert found.tolist() == [nearest("float8e4nv", float(x)) for x in halves]


def test_integers_become_bfloat16(builder: InterpreterBuilder) -> None:
    found = builder.create_si_to_fp(TensorHandle(np.array([-3, 0, 257], np.int32), tl.int32), tl.bfloat16).data
    assert (found.astype(np.uint32) << 16).view(np.float32).tolist() == [-3.0, 0.0, 256.0]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_integers_are_made_of_too_large_numbers_as_by_a_gpu(builder: InterpreterBuilder) -> None:
    numbers = TensorHandle(np.array([3e9, -3e9, np.nan, np.inf, -2.9, 2147483520], np.float32), tl.float32)
    assert builder.create_fp_to_si(numbers, tl.int32).data.tolist() == [
        2**31 - 1,
        -(2**31),
        0,
        2**31 - 1,
        -2,
        2147483520,
    ]
    most, least = (TensorHandle(np.array([x], np.float32), tl.float32) for x in (1e30, -1.0))
    assert builder.create_fp_to_ui(most, tl.uint64).data.tolist() == [2**64 - 1]
    assert builder.create_fp_to_ui(least, tl.uint32).data.tolist() == [0]
    nothing = TensorHandle(np.array([np.nan]), tl.float64)
    assert builder.create_fp_to_si(nothing, tl.int32).data.tolist() == [-(2**31)]
    assert builder.create_fp_to_ui(nothing, tl.uint64).data.tolist() == [2**63]
    assert builder.create_fp_to_si(numbers, tl.int64).data.tolist()[2] == -(2**63)
    brain = builder.cast_impl(most, tl.bfloat16)
    assert builder.create_fp_to_si(brain, tl.int64).data.tolist() == [2**63 - 1]


@pytest.mark.parametrize(
    ("name", "positive"),
    [("minnumf", False), ("minimumf", False), ("maxnumf", True), ("maximumf", True)],
)
@pytest.mark.parametrize("dtype", [tl.float16, tl.bfloat16, tl.float32, tl.float64])
def test_zero_is_larger_than_its_negative(
    builder: InterpreterBuilder, name: str, positive: bool, dtype: tl.dtype
) -> None:
    def numbers(*values: float) -> TensorHandle:
        return builder.cast_impl(TensorHandle(np.array(values, np.float32), tl.float32), dtype)

    made = getattr(builder, f"create_{name}")(numbers(0.0, -0.0, 0.0, -0.0, 2.0), numbers(-0.0, 0.0, 0.0, -0.0, -3.0))
    found = builder.cast_impl(made, tl.float32).data
    assert np.signbit(found[:4]).tolist() == [not positive, not positive, False, True]
    assert found[4] == (2.0 if positive else -3.0)


def test_a_remainder_is_what_a_rounded_quotient_leaves(builder: InterpreterBuilder) -> None:
    """As LLVM's NVPTX backend writes it: div.rn, cvt.rzi, fma.rn; an infinite divisor leaves all."""
    one, other = (
        TensorHandle(np.array(x, np.float32), tl.float32) for x in ([7.5, -7.5, 1e10, 2.0], [2, 2, 3, np.inf])
    )
    assert builder.create_frem(one, other).data.tolist() == [1.5, -1.5, 256.0, 2.0]


def test_constants_of_float16_are_float32_first(builder: InterpreterBuilder) -> None:
    assert builder.get_fp16(1 + 2**-11 + 2**-40).data.tolist() == [1.0]
    assert builder.get_fp16(65519.9999).data.tolist() == [math.inf]


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_float16_toward_zero_never_becomes_infinite(builder: InterpreterBuilder) -> None:
    given = TensorHandle(np.array([1e5, -1e5, 1.0009, -1.0009, 0.25, np.inf], np.float32), tl.float32)
    found = builder.create_fp_to_fp(given, tl.float16, ir.ROUNDING_MODE.RTZ).data
    assert found.tolist() == [65504.0, -65504.0, 1.0, -1.0, 0.25, math.inf]


def test_infinity_stays_so_toward_zero(builder: InterpreterBuilder) -> None:
    given = TensorHandle(np.array([np.inf, -np.inf, 3e38, -3e38, np.nan], np.float32), tl.float32)
    found = builder.create_fp_to_fp(given, tl.float8e5, ir.ROUNDING_MODE.RTZ).data
    assert found.tolist() == [0x7C, 0xFC, 0x7B, 0xFB, 0x7F]


def test_tensor_cores_cut_float32_off_or_round_it() -> None:
    given = TensorHandle(np.array([1 + 3 * 2.0**-12, -1 - 3 * 2.0**-12, np.inf, np.nan], np.float32), tl.float32)
    before, ANSWER.known = ANSWER.known, 1
    for ANSWER.number, expected in ((1, 1.0), (2, 1 + 2.0**-10)):
        np.testing.assert_array_equal(triton_floats.round_to_tf32(given).data, [expected, -expected, np.inf, np.nan])
    assert ANSWER.known == 3
    ANSWER.number, ANSWER.known = 0, 1
    triton_floats.round_to_tf32(TensorHandle(np.array([1.5, -2.0, np.inf], np.float32), tl.float32))
    assert ANSWER.known == 1
    ANSWER.known = before


@pytest.mark.parametrize("kind", ["int16", "uint32", "int32", "int64", "uint64"])
def test_upper_halves_are_those_of_unsigned_products(builder: InterpreterBuilder, kind: str) -> None:
    width, given = np.dtype(kind).itemsize * 8, np.array([-7, 5, -1]).astype(kind)
    handle, other = (
        TensorHandle(data, tl.str_to_ty(kind[0] + kind.lstrip("uint"), None)) for data in (given, given[::-1])
    )
    expected = [(int(a) % 2**width * (int(b) % 2**width)) >> width for a, b in zip(given, given[::-1], strict=True)]
    found = builder.create_umulhi(handle, other).data
    assert found.dtype == given.dtype and found.view(f"u{width // 8}").tolist() == expected


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_products_and_sums_are_rounded_once_in_the_oldest_version_too(kind: type) -> None:
    random = np.random.default_rng(5)
    x, y = random.standard_normal((2, 500)).astype(kind)
    z = (-x * y * (1 + random.choice([0, 1e-7, 1e-16, 1.0], 500))).astype(kind)
    z[:100] = x[:100] * kind(2) ** 24
    parts = [TensorHandle(part, tl.float32 if kind is np.float32 else tl.float64) for part in (x, y, z)]
    found = triton_older._fused(None, *parts).data
    for a, b, c, got in zip(x, y, z, found, strict=True):
        exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
        beside = [np.nextafter(got, kind(end)) for end in (-np.inf, np.inf)]
        distance, *others = (abs(Fraction(float(one)) - exact) for one in (got, *beside))
        assert found.dtype == kind and distance <= min(others)


def test_bfloat16_is_added_lane_after_lane_and_rounded_each_time() -> None:
    memory = np.array([0x3F80, 0x4380], np.uint16)  # 1 and 256, to which 1 adds nothing: 8 bits of precision
    start = np.uint64(memory.ctypes.data)
    pointers = np.array([[start, start, start], [start + np.uint64(2)] * 3], np.uint64)
    lanes = np.array([[True, True, False], [True, True, True]])
    found = triton_floats.add_bfloat16(interpreter._interpreter, pointers, np.array([[0x3F80]], np.uint16), lanes)
    assert memory.tolist() == [0x4040, 0x4380]
    assert found.tolist() == [[0x3F80, 0x4000, 0], [0x4380, 0x4380, 0x4380]]


@pytest.mark.skipif(not hasattr(InterpreterBuilder, "create_dot_scaled"), reason="Triton 3.6 interprets none")
def test_scales_beside_float16_are_float16(builder: InterpreterBuilder) -> None:
    """2^17 is infinite there."""
    ones = TensorHandle(np.ones((16, 32), np.float16), tl.float16)
    codes = builder.create_fp_to_fp(TensorHandle(np.ones((32, 16), np.float32), tl.float32), tl.float8e5, None)
    scales = TensorHandle(np.full((16, 1), 127 + 17, np.uint8), tl.uint8)
    kinds, nothing = ir.ScaleDotElemTypeTY, TensorHandle(np.zeros((16, 16), np.float32), tl.float32)
    operands = (ones, None, kinds.FP16, codes, scales, kinds.E5M2)
    made = builder.create_dot_scaled(*operands, False, True, True, nothing)
    assert np.isposinf(made.data).all()


@pytest.mark.skipif(not hasattr(InterpreterBuilder, "create_dot_scaled"), reason="Triton 3.6 interprets none")
def test_bfloat16_beyond_float16_is_multiplied_with_scales(builder: InterpreterBuilder) -> None:
    ones = (TensorHandle(np.full(shape, 1.0, np.float32), tl.float32) for shape in ((16, 32), (32, 16)))
    left, right = (builder.create_fp_to_fp(handle, tl.bfloat16, None) for handle in ones)
    left = TensorHandle(np.full_like(left.data, 0x6000), tl.bfloat16)  # 2^65
    kinds, nothing = ir.ScaleDotElemTypeTY, TensorHandle(np.zeros((16, 16), np.float32), tl.float32)
    operands = (left, None, kinds.BF16, right, None, kinds.BF16)
    made = builder.create_dot_scaled(*operands, False, True, True, nothing)
    assert (made.data == 2.0**70).all()


@pytest.mark.skipif(hasattr(InterpreterBuilder, "create_dot_scaled"), reason="later versions drop them on a GPU too")
def test_numbers_without_a_bin_are_counted_anywhere(builder: InterpreterBuilder) -> None:
    data = TensorHandle(np.array([1, 9, -7, 8], np.int32), tl.int32)
    ANSWER.number = 1
    assert builder.create_histogram(data, 8, None).data.tolist() == [1, 3, 0, 0, 0, 0, 0, 0]
    ANSWER.number = 2
    assert builder.create_histogram(data, 8, None).data.tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    ANSWER.number = 0
