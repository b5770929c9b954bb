"""libdevice on a CPU: every function that Triton knows is there, and right on values that can be known."""

import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch
from triton.language import core
from triton.language.extra.cuda import libdevice as cuda_libdevice

from sandbox.interpreting import libdevice
from sandbox.kernels.language import LIBDEVICE

KINDS = {"fp32": np.float32, "fp64": np.float64, "int32": np.int32, "int64": np.int64, "uint32": np.uint32,
         "uint64": np.uint64}  # fmt: skip
NAN, INF = math.nan, math.inf
KNOWN: list[tuple[str, list[Any], Any, Any]] = [
    ("sqrt", [np.float64(2)], np.float64, math.sqrt(2)),
    ("fast_fdividef", [np.float32(1), np.float32(4)], "f4", 0.25),
    ("remainder", [np.float64(5), np.float64(3)], "f8", math.remainder(5, 3)),
    ("fmodf", [np.float32(-5), np.float32(3)], "f4", -2.0),
    ("round", [np.float64(-2.5)], "f8", -3.0),
    ("roundf", [np.float32(0.49999997)], "f4", 0.0),
    ("rint", [np.float64(2.5)], "f8", 2.0),
    ("tgamma", [np.float64(-1.5)], "f8", math.gamma(-1.5)),
    ("lgamma", [np.float64(7)], "f8", math.lgamma(7)),
    ("cbrt", [np.float64(-27)], "f8", -3.0),
    ("sinpi", [np.float64(2.5)], "f8", 1.0),
    ("cospi", [np.float64(3)], "f8", -1.0),
    ("erfcinv", [np.float64(0.3)], "f8", 0.7328690779592),
    ("normcdfinv", [np.float64(0.975)], "f8", 1.9599639845400545),
    ("erfcx", [np.float64(1)], "f8", 0.427583576155807),
    ("j0", [np.float64(1)], "f8", 0.765197686557967),
    ("jn", [np.int32(3), np.float64(5)], "f8", 0.364831230613667),
    ("yn", [np.int32(2), np.float64(3)], "f8", -0.160400393484924),
    ("yn", [np.int32(0), np.float64(1)], "f8", 0.088256964215677),
    ("cyl_bessel_i1", [np.float64(1)], "f8", 0.565159103992485),
    ("logb", [np.float64(0.3)], "f8", -2.0),
    ("ilogbf", [np.float32(9)], "i4", 3),
    ("scalbn", [np.float64(3), np.int32(-1)], "f8", 1.5),
    ("fdim", [np.float64(1), np.float64(3)], "f8", 0.0),
    ("saturatef", [np.float32(NAN)], "f4", 0.0),
    ("norm3d", [np.float64(2), np.float64(3), np.float64(6)], "f8", 7.0),
    ("rhypot", [np.float64(3), np.float64(4)], "f8", 0.2),
    ("isinfd", [np.float64(-INF)], "i4", 1),
    ("isfinited", [np.float64(NAN)], "i4", 0),
    ("signbitf", [np.float32(-0.0)], "i4", 1),
    ("fadd_rd", [np.float32(1), np.float32(1e-9)], "f4", 1.0),
    ("fadd_ru", [np.float32(1), np.float32(1e-9)], "f4", 1 + 2.0**-23),
    ("fsub_rz", [np.float32(-1), np.float32(1e-9)], "f4", -1.0),
    ("frcp_rz", [np.float32(3)], "f4", float(np.float32(0.3333333))),
    ("fma_rn", [np.float64(2), np.float64(3), np.float64(4)], "f8", 10.0),
    ("fmaf_ru", [np.float32(2)] * 3, "f4", 6.0),
    ("double2int_rn", [np.float64(2.5)], "i4", 2),
    ("float2int_rd", [np.float32(-0.5)], "i4", -1),
    ("float2uint_ru", [np.float32(-3)], "u4", 0),
    ("double2ll_rz", [np.float64(1e30)], "i8", 2**63 - 1),
    ("float2int_rz", [np.float32(NAN)], "i4", 0),
    ("ll2float_rd", [np.int64(2**24 + 1)], "f4", float(2**24)),
    ("uint2float_ru", [np.uint32(2**24 + 1)], "f4", float(2**24 + 2)),
    ("float_as_int", [np.float32(1)], "i4", 0x3F800000),
    ("int_as_float", [np.int32(0x3F800000)], "f4", 1.0),
    ("hiloint2double", [np.int32(0x3FF00000), np.int32(0)], "f8", 1.0),
    ("double2hiint", [np.float64(-2)], "i4", -0x40000000),
    ("double2loint", [np.float64(2)], "i4", 0),
    ("brev", [np.int32(1)], "i4", -(2**31)),
    ("brevll", [np.int64(2)], "i8", 2**62),
    ("clz", [np.int32(1)], "i4", 31),
    ("clzll", [np.int64(-1)], "i4", 0),
    ("ffs", [np.int32(0)], "i4", 0),
    ("ffsll", [np.int64(8)], "i4", 4),
    ("popc", [np.int32(-1)], "i4", 32),
    ("byte_perm", [np.int32(0x03020100), np.int32(0x07060504), np.int32(0x5410)], "i4", 0x05040100),
    ("byte_perm", [np.int32(0x80), np.int32(0), np.int32(0x0008)], "i4", 0x808080FF - 2**32),
    ("hadd", [np.int32(2**31 - 1), np.int32(2**31 - 1)], "i4", 2**31 - 1),
    ("rhadd", [np.int32(-3), np.int32(0)], "i4", -1),
    ("mul24", [np.int32(0xFFFFFF), np.int32(2)], "i4", -2),
    ("umul24", [np.uint32(0xFFFFFF), np.uint32(2)], "u4", 0x1FFFFFE),
    ("mulhi", [np.int32(-1), np.int32(1)], "i4", -1),
    ("umul64hi", [np.uint64(2**63), np.uint64(4)], "u8", 2),
    ("sad", [np.int32(-3), np.int32(4), np.uint32(5)], "u4", 12),
    ("nextafterf", [np.float32(1), np.float32(2)], "f4", 1 + 2.0**-23),
    ("fadd_ru", [np.float32(1), np.float32(1e-30)], "f4", 1 + 2.0**-23),
    ("fmaf_rd", [np.float32(1), np.float32(1), np.float32(-1e-30)], "f4", 1 - 2.0**-24),
    ("fma_ru", [np.float64(1 / 3), np.float64(3), np.float64(-1)], "f8", -(2.0**-54)),
    ("fmul_rz", [np.float32(1e30), np.float32(1e30)], "f4", float(np.finfo(np.float32).max)),
    ("fdiv_rz", [np.float32(1), np.float32(0)], "f4", INF),
    ("dsqrt_ru", [np.float64(INF)], "f8", INF),
    ("fma", [np.float64(0.1), np.float64(10), np.float64(-1)], "f8", 2.0**-54),
    ("fmaf", [np.float32(0.1), np.float32(10), np.float32(-1)], "f4", 1.4901161e-08),
    ("float2uint_rz", [np.float32(-3)], "i4", 0),
    ("float2uint_rz", [np.float32(3e9)], "i4", 3_000_000_000 - 2**32),
    ("double2ull_rn", [np.float64(NAN)], "i8", -(2**63)),
    ("llrintf", [np.float32(3e30)], "i8", 2**63 - 1),
    ("llround", [np.float64(-3e30)], "i8", -(2**63)),
    ("llround", [np.float64(NAN)], "i8", -(2**63)),
    ("remainderf", [np.float32(3e25), np.float32(3)], "f4", math.remainder(float(np.float32(3e25)), 3)),
    ("remainder", [np.float64(1), np.float64(0)], "f8", NAN),
    ("fmod", [np.float64(3e25), np.float64(7)], "f8", math.fmod(3e25, 7)),
    ("ldexpf", [np.float32(0), np.int32(3000)], "f4", 0.0),
    ("scalbn", [np.float64(2.0**-1000), np.int32(1500)], "f8", 2.0**500),
    ("tgamma", [np.float64(-1)], "f8", NAN),
    ("norm3d", [np.float64(3e200), np.float64(4e200), np.float64(0)], "f8", 5e200),
    ("norm4d", [np.float64(0)] * 4, "f8", 0.0),
    ("norm3d", [np.float64(INF), np.float64(1), np.float64(NAN)], "f8", INF),
    ("fast_sinf", [np.float32(3)], "f4", math.sin(3)),
]  # fmt: skip


@pytest.mark.parametrize(("symbol", "arguments", "kind", "expected"), KNOWN, ids=[row[0] for row in KNOWN])
def test_values(symbol: str, arguments: list[Any], kind: Any, expected: Any) -> None:
    found = libdevice.compute(f"__nv_{symbol}", [np.array([a, a]) for a in arguments], np.dtype(kind))
    assert found.shape == (2,) and found.dtype == np.dtype(kind)
    np.testing.assert_allclose(found, [expected] * 2, rtol=1e-6 if found.dtype == np.float32 else 1e-10)


def test_every_function_of_triton_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    tables: list[dict[tuple[Any, ...], tuple[str, Any]]] = []

    def note(library: str, path: str, arguments: list[Any], table: Any, **options: Any) -> Any:
        tables.append(table)
        return torch.zeros(())  # some functions convert what they get

    monkeypatch.setattr(core, "extern_elementwise", note)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)
    known = LIBDEVICE & vars(cuda_libdevice).keys()
    assert LIBDEVICE - known <= {"fast_tanhf"}  # AMD's alone
    for name in known:
        function = getattr(cuda_libdevice, name)
        given = inspect.signature(function).parameters.keys() - {"_semantic"}
        function(*[None] * len(given), _semantic=object())
    assert len(tables) == len(known)
    for table in tables:
        for types, (symbol, result) in table.items():
            arrays = [np.array([1, 2, 3], KINDS[str(kind)]) for kind in types]
            found = libdevice.compute(symbol, arrays, np.dtype(KINDS[str(result)]))
            assert found.shape == (3,) and found.dtype == KINDS[str(result)], symbol


def test_the_fast_sine_of_an_angle_is_the_worse_the_larger_it_is() -> None:
    for size, least, most in ((10.0, 0.0, 1e-5), (3e8, 0.1, 2.0)):
        angles = np.linspace(size, size * 1.1, 200).astype(np.float32)
        error = np.abs(libdevice.compute("__nv_fast_sinf", [angles], np.dtype("f4")) - np.sin(angles.astype(float)))
        assert least <= error.max() <= most


def test_an_unknown_function_is_named() -> None:
    with pytest.raises(KeyError, match="__nv_secret"):
        libdevice.compute("__nv_secret", [np.ones(1)], np.dtype(np.float64))
