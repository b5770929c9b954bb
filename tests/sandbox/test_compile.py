"""Ahead-of-time compiling for every target, and what the binaries tell."""

import os
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import triton
from sample_kernels import KERNELS, lower

from sandbox import wire
from sandbox.compiling import binary_stats
from sandbox.compiling.binary import Binary
from sandbox.local import LocalSandbox
from sandbox.pool import run_untrusted
from sandbox.triton_private.compile import (
    GPU_TARGETS,
    SHARED_BYTES,
    Compiled,
    CompileError,
    check_limits,
    compile_ttir,
    disassemble,
    require_known_triton,
)
from sandbox.types import KernelStats, Target

TARGETS: tuple[Target, ...] = ("sm_80", "sm_90", "sm_100", "gfx942", "gfx950")


@cache
def compiled(name: str, target: Target) -> Compiled:
    with tempfile.TemporaryDirectory() as scratch:
        return compile_ttir(lower(name), target, KERNELS[name].options, Path(scratch))


def stats(name: str, target: Target) -> KernelStats:
    with tempfile.TemporaryDirectory() as scratch:
        return binary_stats.kernel_stats(compiled(name, target), target, Path(scratch))


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
def test_matmul_uses_the_matrix_unit_of_its_target(target: Target, mnemonic: str, tmp_path: Path) -> None:
    result = compiled("matmul", target)
    code = disassemble(result.binary, tmp_path) if target.startswith("sm_") else result.assembly
    found = re.findall(rf"\b{mnemonic}", code)
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
    assert compile_ttir(lower("add"), "sm_90", {"num_ctas": 2}, tmp_path).num_ctas == 2
    assert ".maxnreg 32" in compile_ttir(lower("add"), "sm_90", {"maxnreg": 32}, tmp_path).assembly
    assert compile_ttir(lower("add"), "sm_90", {"launch_cooperative_grid": True}, tmp_path).cooperative
    flushed = compile_ttir(lower("add"), "gfx942", {"allow_flush_denorm": True}, tmp_path)
    assert ".amdhsa_float_denorm_mode_32 0" in flushed.assembly
    fused, exact = (
        compile_ttir(lower("fused"), "sm_90", {"enable_fp_fusion": fusion}, tmp_path) for fusion in (True, False)
    )
    assert "FFMA" in disassemble(fused.binary, tmp_path)
    assert "FFMA" not in disassemble(exact.binary, tmp_path)


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
    "library function": (lower("math").replace("__nv_tanhf", "__nv_unknown"), "device function"),
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
        binary_stats.kernel_stats(compiled("add", "sm_90"), "sm_80", Path("unused"))


def test_descriptors_are_described_for_the_host(tmp_path: Path) -> None:
    result = compiled("host_descriptor", "sm_90")
    source, target = result.descriptors
    assert (source.elem_size, source.elem_type) == (2, 6)  # CU_TENSOR_MAP_DATA_TYPE_FLOAT16
    assert (target.elem_size, target.elem_type) == (2, 9)  # …_BFLOAT16: Triton's own number on the device is 10
    for layout in result.descriptors:
        assert (layout.block_size, layout.swizzle, layout.fp4_padded) == ((32, 64), 3, False)
    kinds = [kind.split("<")[0] for kind in result.parameters]
    descriptor = ["!tt.tensordesc", "i32", "i32", "i64", "i64"]
    assert kinds == [*descriptor, *descriptor, "f32", "!tt.ptr", "i64"]
    assert result.parameters[11] == "!tt.ptr<f64>"
    assert compiled("host_descriptor", "sm_80").descriptors == ()
    assert "!tt.ptr<f16>" in compiled("host_descriptor", "sm_80").parameters


def test_scratch_for_descriptors_made_on_the_device_is_told() -> None:
    result = compiled("descriptor_add", "sm_90")
    assert result.global_scratch_bytes >= 2 * 128  # two descriptors of 128 bytes
    assert result.global_scratch_align >= 128
    assert result.descriptors == ()
    assert compiled("add", "sm_90").global_scratch_bytes == 0


def role(sandbox: LocalSandbox, target: Target, names: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """What the compile role replies, from its isolated child."""
    options = {"num_warps": 8, "num_stages": 4, "maxnreg": None}
    kernels = [{"name": name, "ttir": lower(name), "options": options} for name in names]
    outcome = run_untrusted(sandbox.compiler, {"kernels": kernels, "target": target, **more}, 30.0, 2048, ())
    reply = wire.loads(outcome.reply)
    assert isinstance(reply, dict)
    return reply


def test_the_role_replies_with_binaries(sandbox: LocalSandbox, tmp_path: Path) -> None:
    reply = role(sandbox, "sm_90", ("softmax", "matmul"), static=False)
    first, second = (Binary.model_validate(record) for record in reply["binaries"])
    expected = compile_ttir(lower("softmax"), "sm_90", {"num_warps": 8}, tmp_path)
    assert first.code == expected.binary
    assert (first.symbol, first.num_warps, first.num_ctas, first.cooperative) == ("softmax", 8, 1, False)
    assert first.shared_bytes == expected.shared_bytes > 0
    assert first.parameters == ("!tt.ptr<f32>", "!tt.ptr<f32>", "i32")
    assert second.symbol == "matmul"
    assert reply["static"] == []


def test_the_role_replies_with_statistics(sandbox: LocalSandbox) -> None:
    reply = role(sandbox, "sm_90", ("add",), static=True)
    assert KernelStats.model_validate(reply["static"][0]).kernel == "add"
    amd = role(sandbox, "gfx942", ("add",), static=True)
    assert (len(amd["static"]), amd["binaries"]) == (1, [])


def test_the_role_rejects_with_the_kernels_name(sandbox: LocalSandbox) -> None:
    reply = role(sandbox, "sm_80", ("add", "too_large"), static=False)
    assert reply["rejected"]["stage"] == "compile"
    assert reply["rejected"]["reason"].startswith("kernel too_large: out of shared memory")
