"""Ahead-of-time compiling for every target, and what the binaries tell."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# (Triton kernels are a language of their own inside Python: their bodies cannot be typed.)

import os
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import triton
import triton.language as tl
from triton._C.libtriton import ir
from triton.backends.compiler import Language
from triton.compiler.compiler import ASTSource, make_backend

from sandbox import binary_stats
from sandbox.triton_compile import (
    GPU_TARGETS,
    OPTIONS,
    SHARED_BYTES,
    Compiled,
    CompileError,
    check_limits,
    compile_ttir,
    require_known_triton,
)
from sandbox.types import KernelStats, Target

TARGETS: tuple[Target, ...] = ("sm_80", "sm_90", "sm_100", "gfx942", "gfx950")


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


class Source(NamedTuple):
    fn: Any
    signature: str
    """Types of the parameters that are not constants, in order; `:16` marks multiples of 16."""
    constants: dict[str, int]
    options: dict[str, int]


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
    "spilling": Source(spilling, "*fp32:16 *fp32:16", {"ROWS": 128, "COLUMNS": 128}, {"num_warps": 1}),
}


@cache
def lower(name: str, staged: bool = False) -> str:
    """TTIR as the tracer makes it, for sm_90; `staged` runs the passes that `kernel.asm["ttir"]` has been through."""
    kernel = KERNELS[name]
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


@cache
def compiled(name: str, target: Target) -> Compiled:
    with tempfile.TemporaryDirectory() as scratch:
        return compile_ttir(lower(name), target, KERNELS[name].options, Path(scratch))


def stats(name: str, target: Target) -> KernelStats:
    return binary_stats.kernel_stats(compiled(name, target), target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["add", "softmax", "matmul"])
def test_small_kernels_compile_for_every_target(name: str, target: Target) -> None:
    result = stats(name, target)
    assert compiled(name, target).binary.startswith(b"\x7fELF")
    assert (result.kernel, result.target) == (name, target)
    assert 8 <= result.registers <= 512
    assert result.spills == 0
    assert result.instructions.keys() == set(binary_stats.CLASSES)
    assert result.instructions["memory_global"] >= 2
    assert result.instructions["fp"] > 0
    assert result.instructions["control"] > 0
    assert (result.instructions["tensor"] > 0) == (name == "matmul")
    assert (result.shared_bytes > 0) == (name != "add")
    assert (result.instructions["memory_shared"] > 0) == (name != "add")


@pytest.mark.parametrize(
    ("target", "mnemonic"),
    [("sm_80", "HMMA"), ("sm_90", "HGMMA"), ("sm_100", "UTCHMMA"), ("gfx942", "v_mfma"), ("gfx950", "v_mfma")],
)
def test_matmul_uses_the_matrix_unit_of_its_target(target: Target, mnemonic: str) -> None:
    result = compiled("matmul", target)
    found = re.findall(rf"\b{mnemonic}", result.sass or result.assembly)
    assert stats("matmul", target).instructions["tensor"] == len(found) > 0


@pytest.mark.parametrize("target", TARGETS)
def test_spills_are_seen(target: Target) -> None:
    assert stats("spilling", target).spills > 0


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["matmul_fp32", "descriptor_add"])
def test_ir_lowered_for_hopper_compiles_elsewhere(name: str, target: Target) -> None:
    assert stats(name, target).instructions["memory_global"] > 0


@pytest.mark.parametrize("name", ["add", "matmul", "spilling"])
def test_registers_agree_with_the_cubin(name: str, tmp_path: Path) -> None:
    cubin = tmp_path / "kernel.cubin"
    cubin.write_bytes(compiled(name, "sm_90").binary)
    command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", str(cubin)]
    usage = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found is not None
    assert stats(name, "sm_90").registers == int(found[1])
    assert (stats(name, "sm_90").spills > 0) == (int(found[2]) > 0)


@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
def test_same_binary_as_triton_compile(target: Target, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere.ttir"
    source.write_text(lower("matmul", staged=True))
    with triton.knobs.compilation.scope(), triton.knobs.cache.scope():
        triton.knobs.compilation.disable_line_info = True
        triton.knobs.cache.dir = str(tmp_path / "cache")
        kernel = triton.compile(str(source), GPU_TARGETS[target], {"enable_fp_fusion": True})
    assert kernel.kernel == compiled("matmul", target).binary
    assert kernel.metadata.shared == compiled("matmul", target).shared_bytes


def test_options_reach_the_binary(tmp_path: Path) -> None:
    result = compile_ttir(lower("add"), "sm_90", {"num_warps": 8}, tmp_path)
    assert result.num_warps == 8
    assert ".reqntid 256" in result.assembly
    with pytest.raises(ValueError, match="ptx_options"):
        compile_ttir(lower("add"), "sm_90", {"ptx_options": 1}, tmp_path)
    assert "ir_override" not in OPTIONS  # would make Triton read a file of the caller's choice


def test_only_scratch_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, scratch, cwd = (tmp_path / name for name in ("home", "scratch", "cwd"))
    for folder in (home, scratch, cwd):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(cwd)
    before = tempfile.tempdir, os.fstat(1), os.fstat(2), triton.knobs.compilation.disable_line_info
    for target in ("sm_90", "gfx942"):
        compile_ttir(lower("add"), target, {}, scratch)
    assert before == (tempfile.tempdir, os.fstat(1), os.fstat(2), triton.knobs.compilation.disable_line_info)
    assert not list(home.iterdir())
    assert not list(cwd.iterdir())


@pytest.mark.parametrize("target", TARGETS)
def test_shared_memory_limit_is_exact(target: Target) -> None:
    limit = SHARED_BYTES[target]
    check_limits({"shared": limit, "num_warps": 4}, target)
    with pytest.raises(CompileError, match=rf"out of shared memory: {limit + 1} bytes .* {target} is {limit};"):
        check_limits({"shared": limit + 1, "num_warps": 4}, target)


def test_limits_of_threads_and_tensor_memory() -> None:
    check_limits({"shared": 0, "num_warps": 32}, "sm_90")
    with pytest.raises(CompileError, match=r"out of threads: 2048 .* 1024"):
        check_limits({"shared": 0, "num_warps": 32}, "gfx942")
    with pytest.raises(CompileError, match=r"out of tensor memory: 1024 .* 512"):
        check_limits({"shared": 0, "num_warps": 4, "tmem_size": 1024}, "sm_100")


@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
def test_too_large_a_tile_names_need_and_limit(target: Target, tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        compile_ttir(lower("too_large"), target, KERNELS["too_large"].options, tmp_path)
    need, limit = (int(n) for n in re.findall(r"\b\d{5,}\b", caught.value.reason))
    assert need > limit == SHARED_BYTES[target]


INLINE_ASSEMBLY = """%asm = tt.elementwise_inline_asm "nonsense $0;"
    {constraints = "=r", packed_element = 1 : i32, pure = false} -> i32
    tt.return"""
FAULTY = {
    "empty": ("", "found 0"),
    "no MLIR": ("hello world", "custom op 'hello'"),
    "binary": ("\0\x01\xff\udcff", "unexpected character"),
    "cut short": (lower("add")[:700], "not valid Triton IR"),
    "two kernels": (lower("add").rstrip()[:-1] + lower("softmax").split("module {")[1], "found 2"),
    "name": (lower("add").replace("@add", '@"a$ b"'), "letters, digits"),
    "undeclared value": (lower("add").replace("%0 =", "%first ="), "undeclared SSA value"),
    "odd block": (lower("add").replace("1024", "1000"), "power-of-two"),
    "type": (lower("matmul", staged=True).replace("bf16", "f8E4M3FN"), "stage llir failed"),
    "machine code": (lower("add").replace("tt.return", INLINE_ASSEMBLY), "nonsense|invalid instruction"),
}


@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
@pytest.mark.parametrize("fault", FAULTY)
def test_faulty_ir_is_one_sentence(fault: str, target: Target, tmp_path: Path) -> None:
    ttir, reason = FAULTY[fault]
    with pytest.raises(CompileError, match=reason) as caught:
        compile_ttir(ttir, target, {}, tmp_path)
    assert "\n" not in caught.value.reason
    assert str(tmp_path) not in caught.value.reason
    assert len(caught.value.reason) < 400
    assert len(caught.value.log) <= 8000


def test_bad_options_are_the_kernels_fault(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="num_warps must be a power of 2"):
        compile_ttir(lower("add"), "sm_90", {"num_warps": 3}, tmp_path)
    with pytest.raises(CompileError, match="num_ctas > 1"):
        compile_ttir(lower("add"), "sm_80", {"num_ctas": 2}, tmp_path)


def test_unknown_triton_is_refused() -> None:
    require_known_triton()
    require_known_triton("3.6.0+git1234")
    for version in ("3.5.1", "3.60.0", "4.0.0"):
        with pytest.raises(RuntimeError, match=re.escape(version)):
            require_known_triton(version)


def test_stats_are_for_the_compiled_target() -> None:
    with pytest.raises(ValueError, match="compiled for sm_90"):
        binary_stats.kernel_stats(compiled("add", "sm_90"), "sm_80")
