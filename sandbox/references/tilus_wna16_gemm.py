"""Matmul with weights of 1 to 8 bits, `y = x · (scale · (value - zero))ᵀ` (Tilus, row `tilus_wna16_gemm`).

Unusual: every bit width, also 3, 5, 6 and 7, in one layout: bit planes. Plane p of a weight is bit p of its code; per
32 neighbours along K there is one int32 word a plane, bit i of word w being element 32 w + i. The value of a code is
the code itself or an entry of a code book, which covers small floats. Scale and zero point hold for a group along K.
"""

import torch

FAMILY = "low_precision_gemm"
TOLERANCE = "TB"
DESCRIPTION = (
    "Weight-only quantised matmul: x [M, K] times the transpose of W [N, K], W given as int32 bit planes [b, N, K/32] "
    "with b from 1 to 8 (bit i of word w of plane p is bit p of the code of element 32w+i), scale and zero [N, K/g] in "
    "the dtype of x (g a multiple of 32) and optionally an fp32 code book lut [2**b]. W = scale · (value - zero) with "
    "value = code, or lut[code] if there is a lut, and the scale and zero of the element's group of g along K. "
    "The result is [M, N] in the dtype of x, accumulated in fp32."
)
CASES = (
    {
        "name": "tiny",
        "tier": "cpu",
        "args": {"m": 3, "n": 80, "k": 256, "format": "u4", "g": 128, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_u1",
        "tier": "cpu",
        "args": {"m": 1, "n": 64, "k": 1024, "format": "u1", "g": 1024, "dtype": "bfloat16"},
        "distribution": "large",
    },
    {
        "name": "tiny_u2",
        "tier": "cpu",
        "args": {"m": 20, "n": 72, "k": 128, "format": "u2", "g": 128, "dtype": "float16"},
    },
    {
        "name": "tiny_u5",
        "tier": "cpu",
        "args": {"m": 9, "n": 131, "k": 384, "format": "u5", "g": 128, "dtype": "bfloat16"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_i6",
        "tier": "cpu",
        "args": {"m": 16, "n": 64, "k": 256, "format": "i6", "g": 64, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"m": 5, "n": 48, "k": 96, "format": "u7", "g": 32, "dtype": "float32"},
    },
    {
        "name": "tiny_e2m1",
        "tier": "cpu",
        "args": {"m": 2, "n": 33, "k": 160, "format": "e2m1", "g": 32, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_many",
        "tier": "cpu",
        "args": {"m": 130, "n": 77, "k": 160, "format": "u6", "g": 160, "dtype": "bfloat16"},
        "distribution": "structured",
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"m": 7, "n": 50, "k": 1056, "format": "u3", "g": 32, "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_u8",
        "tier": "cpu",
        "args": {"m": 4, "n": 97, "k": 256, "format": "u8", "g": 128, "dtype": "float16"},
        "hidden": True,
    },
    {
        "name": "tiny_hidden_i8",
        "tier": "cpu",
        "args": {"m": 40, "n": 40, "k": 224, "format": "i8", "g": 224, "dtype": "bfloat16"},
        "distribution": "large",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_e2m3",
        "tier": "cpu",
        "args": {"m": 131, "n": 45, "k": 128, "format": "e2m3", "g": 64, "dtype": "float32"},
        "distribution": "heavy_tailed",
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"m": 1, "n": 4096, "k": 4096, "format": "u4", "g": 128, "dtype": "bfloat16"},
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {"m": 16, "n": 8192, "k": 28672, "format": "u6", "g": 128, "dtype": "bfloat16"},
    },
    {
        "name": "t2",
        "tier": "gpu",
        "args": {"m": 1, "n": 57344, "k": 8192, "format": "u3", "g": 128, "dtype": "bfloat16"},
    },
    {
        "name": "l",
        "tier": "gpu",
        "args": {"m": 4096, "n": 8192, "k": 8192, "format": "u5", "g": 128, "dtype": "bfloat16"},
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"m": 7, "n": 11008, "k": 4160, "format": "i3", "g": 32, "dtype": "bfloat16"},
    },
)
HEADLINES = (
    {
        "claim": "1.75x over Triton, restated: over the dequantisation that torch.compile fuses, then cuBLAS",
        "case": "t",
        "against": "compile",
        "measure": "time",
        "ratio": 1.75,
    },
)
SLICE_ELEMENTS = 2**27
"""Weights held unpacked at a time: 1 GiB in float64. Small cases are one slice."""


def float_values(exponent, mantissa):
    """The values of a small float with a sign and no special codes, by its code."""
    code = torch.arange(2 ** (1 + exponent + mantissa))
    fraction = (code % 2**mantissa) / 2**mantissa
    power = (code >> mantissa) % 2**exponent
    size = torch.where(power > 0, (1 + fraction) * 2.0 ** (power.clamp_min(1) - 1), fraction)
    return size * (1 - 2 * (code >> exponent + mantissa))


def code_bits(kind):
    """Bits of a code: of `u4` or `i4` 4, of `e2m1` 1 + 2 + 1."""
    return 1 + int(kind[1]) + int(kind[3]) if kind[0] == "e" else int(kind[1:])


def make_inputs(case, draw):
    """x, random codes as planes, scale, zero, lut. Zero points: none for floats, 2^(b-1) for `i`, near it for `u`.

    Scales make the rows of W about unit vectors, give or take half.
    """
    kind, dtype = case["format"], case["dtype"]
    lut = float_values(int(kind[1]), int(kind[3])) if kind[0] == "e" else None
    bits, n, k, groups = code_bits(kind), case["n"], case["k"], case["k"] // case["g"]
    x = draw.normal(case["m"], k, dtype=dtype)
    planes = draw.integers(bits, n, k // 32, low=-(2**31), high=2**31, dtype="int32")
    spread = 2.0**bits / 12**0.5 if lut is None else 3.0  # of the values, roughly
    size = 1 / (spread * k**0.5)
    scale = draw.uniform(n, groups, low=0.5 * size, high=1.5 * size, dtype=dtype)
    middle = 0.0 if lut is not None else 2.0 ** (bits - 1)
    slack = 2.0**bits / 8 if kind[0] == "u" else 0.0
    zero = draw.uniform(n, groups, low=middle - slack, high=middle + slack, dtype=dtype)
    return x, planes, scale, zero, None if lut is None else lut.to(draw.device)


def unpack(planes):
    """int32 bit planes [b, N, K/32] → codes [N, K] int32."""
    place = torch.arange(32, dtype=torch.int32, device=planes.device)
    codes = torch.zeros((planes.shape[1], planes.shape[2] * 32), dtype=torch.int32, device=planes.device)
    for p in range(planes.shape[0]):
        codes |= ((planes[p][..., None] >> place & 1) << p).flatten(-2)
    return codes


def tilus_wna16_gemm(x, planes, scale, zero, lut=None):
    """x [M, K], planes int32 [b, N, K/32], scale and zero [N, K/g], lut fp32 [2^b] or None → y [M, N] as x."""
    x32, parts = x.float(), []
    rows = max(1, SLICE_ELEMENTS // x.shape[1])
    for first in range(0, planes.shape[1], rows):
        part = slice(first, first + rows)
        codes = unpack(planes[:, part])
        values = codes.to(x32.dtype) if lut is None else lut.float()[codes]
        grouped = values.reshape(len(values), scale.shape[1], -1)
        weight = (grouped - zero[part, :, None].float()) * scale[part, :, None].float()
        parts.append((x32 @ weight.flatten(-2).T).to(x.dtype))
    return torch.cat(parts, 1)


def eager(x, planes, scale, zero, lut=None):
    """Dequantise in the dtype of x, then a matmul."""
    codes = unpack(planes)
    values = codes.to(x.dtype) if lut is None else lut.to(x.dtype)[codes]
    weight = (values.reshape(len(values), scale.shape[1], -1) - zero[..., None]) * scale[..., None]
    return x @ weight.flatten(-2).T


def cost(case):
    """Every packed weight, scale and zero point once, x and y once; the matmul's operations."""
    m, n, k = case["m"], case["n"], case["k"]
    width = 4 if case["dtype"] == "float32" else 2
    scales = 2 * n * (k // case["g"]) * width
    return {
        "bytes": n * k * code_bits(case["format"]) // 8 + scales + (m * k + m * n) * width,
        "flops": 2 * m * n * k,
    }
