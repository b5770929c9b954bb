"""Triton kernels for the tests of gate and compiler, and their IR."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# (Triton kernels are a language of their own inside Python: their bodies cannot be typed.)

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import triton
import triton.language as tl
from triton._C.libtriton import ir
from triton.backends.compiler import Language
from triton.compiler.compiler import ASTSource, make_backend
from triton.language.extra import libdevice

from sandbox.triton_private.compile import GPU_TARGETS
from sandbox.types import Target


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) + tl.load(y + i, i < n), i < n)


@triton.jit
def softmax(x, out, n, BLOCK: tl.constexpr):
    i, row = tl.arange(0, BLOCK), tl.program_id(0)
    v = tl.load(x + row * n + i, i < n, -float("inf"))
    e = tl.exp(v - tl.max(v, 0))
    tl.store(out + row * n + i, e / tl.sum(e, 0), i < n)


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m, n = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        acc = tl.dot(tl.load(a + m[:, None] * K + k[None, :]), tl.load(b + k[:, None] * N + n[None, :]), acc)
    tl.store(c + m[:, None] * N + n[None, :], acc.to(c.dtype.element_ty))


@triton.jit
def descriptor_add(x, out, M, N, B: tl.constexpr):
    source = tl.make_tensor_descriptor(x, shape=[M, N], strides=[N, 1], block_shape=[B, B])
    target = tl.make_tensor_descriptor(out, shape=[M, N], strides=[N, 1], block_shape=[B, B])
    row, column = tl.program_id(0) * B, tl.program_id(1) * B
    target.store([row, column], source.load([row, column]) + 1.0)


@triton.jit
def spilling(x, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    at = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    v = tl.load(x + at)
    w = tl.cumsum(v, 0) * v
    tl.store(out + at, w + tl.sum(v * w))  # the sum is needed before the first store, so the whole tile stays alive


@triton.jit
def fused(x):
    tl.store(x, tl.load(x) * tl.load(x + 1) + tl.load(x + 2))


@triton.jit
def math(x):
    tl.store(x, libdevice.tanh(tl.load(x)))


@triton.jit
def host_descriptor(source, target, scale, fp64, n):
    target.store([0, n.to(tl.int32)], (source.load([0, 0]) * scale).to(tl.bfloat16))


@triton.jit(noinline=True)
def helper(x, y):
    return x + y, x * y


@triton.jit
def combine(x, y):
    return x + y


@triton.jit
def numbers(x, xi, xu, out, B: tl.constexpr):
    i = tl.arange(0, B)
    v, k = tl.load(x + i), tl.load(xi + i, eviction_policy="evict_last")
    tl.assume(tl.num_programs(0) > 0)
    a, b = helper(tl.load(x), tl.load(x + 1))
    v = libdevice.tanh(v) + libdevice.fast_dividef(a, b) + tl.associative_scan(v, 0, combine)
    low, high = tl.split(tl.join(v, tl.sort(v)))
    tl.atomic_add(out + i, tl.gather(v, k, 0))
    tl.atomic_cas(xi + i, k, tl.histogram(k, B))
    tl.atomic_max(xu + i, tl.load(xu + i), sem="relaxed")
    tl.debug_barrier()
    v += tl.rand(0, i) + v.to(tl.float8e5).to(tl.float32) + tl.clamp(v, -1.0, 1.0) + tl.erf(low) + tl.div_rn(v, high)
    tl.store(out + i, tl.flip(v, 0) + tl.sum(tl.cumsum(v), 0))
    tl.store(xi + i, tl.umulhi(k, k) + (k // 3) % 7 + tl.argmax(v, 0), i < tl.max(k, 0))
    tl.store(xu.to(tl.pointer_type(tl.float32)) + i, tl.reshape(tl.trans(tl.reshape(v, 4, B // 4)), B))


@triton.jit
def loops(x, n):
    if tl.program_id(0) == n:
        return
    while tl.load(x) < n:
        tl.atomic_add(x, 1)
    total = 0
    for i in tl.range(0, n, num_stages=2):
        total += tl.load(x + i) if i > 3 else 1
    tl.store(x, total)


@triton.jit
def descriptors(source, target, rows, x, n):
    target.store([0, 0], source.load([0, 0]))
    target.atomic_add([0, 0], source.load([0, 0]))
    rows.scatter(rows.gather(tl.arange(0, 16), 0), tl.arange(0, 16), 0)
    local = tl.make_tensor_descriptor(x, [n, n], [n, 1], [16, 16])
    local.store([0, 0], tl.dot(source.load([0, 0]), source.load([0, 0])))


@triton.jit
def scaled(a, sa, b, sb, out):
    i, j = tl.arange(0, 128), tl.arange(0, 64)
    at = i[:, None] * 64 + j[None, :]
    scale = tl.arange(0, 128)[:, None] * 2 + tl.arange(0, 2)[None, :]
    c = tl.dot_scaled(
        tl.load(a + at), tl.load(sa + scale), "e4m3", tl.trans(tl.load(b + at)), tl.load(sb + scale), "e4m3"
    )
    tl.store(out + i[:, None] * 128 + i[None, :], c)


@triton.jit
def simple(x, n):
    tl.store(x, tl.load(x) + n)


class Source(NamedTuple):
    fn: Any
    signature: str
    """Types of the parameters that are not constants, in order; `:16` marks multiples of 16."""
    constants: dict[str, int]
    options: dict[str, int]


HOST_DESCRIPTOR = "tensordesc<fp16[32,64]> tensordesc<bf16[32,64]> fp32 *fp64 i64"
TOO_LARGE = {"BM": 128, "BN": 128, "BK": 128}
KERNELS = {
    "add": Source(add, "*fp32:16 *fp32:16 *fp32:16 i32", {"BLOCK": 1024}, {}),
    "softmax": Source(softmax, "*fp32:16 *fp32:16 i32", {"BLOCK": 1024}, {}),
    "matmul": Source(matmul, "*bf16:16 *bf16:16 *bf16:16 i32:16 i32:16 i32:16", {"BM": 64, "BN": 64, "BK": 32}, {}),
    "matmul_fp32": Source(
        matmul, "*fp32:16 *fp32:16 *fp32:16 i32:16 i32:16 i32:16", {"BM": 32, "BN": 32, "BK": 32}, {}
    ),
    "too_large": Source(matmul, "*bf16:16 *bf16:16 *bf16:16 i32:16 i32:16 i32:16", TOO_LARGE, {"num_stages": 4}),
    "descriptor_add": Source(descriptor_add, "*fp32:16 *fp32:16 i32 i32:16", {"B": 32}, {}),
    "fused": Source(fused, "*fp32:16", {}, {}),
    "math": Source(math, "*fp32:16", {}, {}),
    "host_descriptor": Source(host_descriptor, HOST_DESCRIPTOR, {}, {}),
    "spilling": Source(spilling, "*fp32:16 *fp32:16", {"ROWS": 128, "COLUMNS": 128}, {"num_warps": 1}),
}


ZOO = {
    "numbers": Source(numbers, "*fp32:16 *i32 *u32 *fp32", {"B": 64}, {}),
    "loops": Source(loops, "*i32 i32", {}, {}),
    "descriptors": Source(
        descriptors,
        "tensordesc<fp16[16,16]> tensordesc<fp16[16,16]> tensordesc<fp16[1,16]> *fp32:16 i32",
        {},
        {},
    ),
    "scaled": Source(scaled, "*fp8e4nv *u8 *fp8e4nv *u8 *fp32", {}, {}),
    **KERNELS,
}


@cache
def lower(name: str, staged: bool = False) -> str:
    return lower_source(KERNELS[name], staged)


def lower_source(kernel: Source, staged: bool) -> str:
    """TTIR for sm_90 as Triton's frontend makes it; `staged`: after the passes that the tracer runs too."""
    kinds = kernel.signature.split() + ["constexpr"] * len(kernel.constants)
    signature = dict(zip(kernel.fn.arg_names, (kind.removesuffix(":16") for kind in kinds), strict=True))
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(kinds) if kind.endswith(":16")}
    source = ASTSource(kernel.fn, signature, kernel.constants, aligned)
    gpu = GPU_TARGETS["sm_90"]
    backend = make_backend(gpu)
    options = backend.parse_options({"enable_fp_fusion": True, **kernel.options})
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    codegen, modules = backend.get_codegen_implementation(options), backend.get_module_map()
    module = source.make_ir(gpu, options, codegen, modules, context)
    if staged:
        stages: dict[str, Any] = {}
        backend.add_stages(stages, options, Language.TRITON)
        module = stages["ttir"](module, {})
    return str(module.str_nodebug())


def parse(ttir: str, folder: Path, target: Target = "sm_90") -> Any:
    backend, context = make_backend(GPU_TARGETS[target]), ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    path = folder / "kernel.ttir"
    path.write_text(ttir)
    module = ir.parse_mlir_module(str(path), context)
    module.context = context
    return module


def named(text: str) -> str:
    """A kernel's IR with its first pointer called `%x` and its integer called `%n`."""
    number = re.search(r"(%arg\d+): i32", text)
    assert number is not None
    return re.sub(r"%arg0\b", "%x", re.sub(rf"{number[1]}\b", "%n", text))


def simple_ir() -> str:
    return named(lower_source(Source(simple, "*fp32:16 i32", {}, {}), staged=True))
