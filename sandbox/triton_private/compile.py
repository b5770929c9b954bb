"""Triton IR text → GPU binary, ahead of time and with no GPU.

Differs from `triton.compile` in that
1. the backend's stages are run one by one, with no cache to poison and no driver to ask, and write only to `scratch`;
2. the `ttir` stage of the *target* runs too, so that IR lowered for one target compiles for another;
3. the parsed module passes `gate` before any stage, and options come from a short list with ranges: none makes
   the compiler read, link or run something else (`extern_libs`, `ptx_options`, `ir_override`, plug-ins);
4. limits are checked as soon as they are known, and every fault of the kernel is one sentence (`CompileError`).

What is used here of Triton's private API is the same in all `TRITON_VERSIONS`, which were all tried.
Triton and LLVM abort on some invalid input (thousands of nested regions, say): run this in a process that may die.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import triton
from triton._C.libtriton import ir
from triton.backends.compiler import GPUTarget, Language
from triton.compiler.compiler import make_backend
from triton.errors import TritonError

from sandbox.compiling.binary import DescriptorLayout
from sandbox.triton_private.gate import GateError, gate, gate_options
from sandbox.types import Record, Target

TRITON_VERSIONS = ("3.6", "3.7", "3.8", "3.9")
GPU_TARGETS: dict[Target, Any] = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
    "gfx950": GPUTarget("hip", "gfx950", 64),
}
SHARED_BYTES: dict[Target, int] = {
    "sm_80": 163 << 10,
    "sm_90": 227 << 10,
    "sm_100": 227 << 10,
    "gfx942": 64 << 10,
    "gfx950": 160 << 10,
}
"""Most shared memory (LDS) that one block can have."""
MAX_THREADS = 1024
MAX_TENSOR_MEMORY_COLUMNS = 512
TENSOR_MAP_TYPES = {8: 10, 9: 8, 10: 9}
"""Triton's device number of a tensor map's element type → CUtensorMapDataType, where the two differ."""
LOG_CHARS = 8000
LINE_CHARS = 300


class CompileError(Exception):
    """The kernel cannot be compiled for the target: the kernel's fault, never the host's."""

    def __init__(self, reason: str, log: str = "", unfit: bool = False) -> None:
        super().__init__(reason, log)
        self.reason = reason
        """One sentence."""
        self.log = log[:LOG_CHARS]
        """What the compiler printed, cut at the end to `LOG_CHARS`."""
        self.unfit = unfit
        """The target has too little of something; an autotuner passes over such a configuration."""

    def __str__(self) -> str:
        return self.reason


class Compiled(Record):
    """One kernel for one target."""

    kernel: str
    target: Target
    binary: bytes
    """cubin (NVIDIA) or hsaco (AMD)."""
    assembly: str
    """PTX (NVIDIA) or amdgcn (AMD)."""
    log: str = ""
    """What `ptxas -v` said (registers and spills); empty on AMD."""
    shared_bytes: int
    num_warps: int
    """Warps of a block; more than was asked for where the compiler specialises warps."""
    num_ctas: int
    global_scratch_bytes: int
    """Per block; 0 on AMD, like what follows."""
    global_scratch_align: int
    cooperative: bool
    descriptors: tuple[DescriptorLayout, ...]
    parameters: tuple[str, ...]
    """MLIR types of the kernel's parameters after the target's `ttir` stage (for sm_80 it takes descriptors apart)."""


def require_known_triton(version: str = triton.__version__) -> None:
    """Raises `RuntimeError` for a Triton whose private API nobody has tried with this module."""
    if ".".join(version.split(".")[:2]) not in TRITON_VERSIONS:
        raise RuntimeError(
            f"triton {version} is unknown to the sandbox: install one of {', '.join(TRITON_VERSIONS)}, "
            "or run tests/sandbox/test_compile.py with the new version and add it to TRITON_VERSIONS"
        )


def compile_ttir(ttir: str, target: Target, options: dict[str, Any], scratch: Path) -> Compiled:
    """Compiles the one kernel of `ttir` for `target`.

    `options` are Triton launch options (`gate.OPTIONS`; None means the default); those that the target does not have
    are ignored. `scratch` is an existing writable folder. Line information is left out, so equal IR gives an equal
    binary wherever it came from.

    Raises `CompileError` when the kernel or its options are at fault, `RuntimeError` for an unknown Triton, and
    `OSError` when a tool cannot be run.
    """
    require_known_triton()
    try:
        chosen = {"enable_fp_fusion": True, **gate_options(options)}
    except GateError as error:
        raise CompileError(str(error)) from error
    if target.startswith("sm_"):
        _require_nvidia_tools()
    source = scratch / "kernel.ttir"
    source.write_bytes(ttir.encode(errors="replace"))  # untrusted text may hold lone surrogates
    stage, metadata, outputs, parameters = "parse", dict[str, Any](), dict[str, Any](), tuple[str, ...]()
    with _captured(scratch) as output, _compiler_settings(scratch):
        try:
            stages, module, metadata = _parse(source, GPU_TARGETS[target], chosen)
            kernel = gate(module).name
            for stage, lower in stages.items():
                module = outputs[stage] = lower(module, metadata)
                if stage == "ttir":
                    parameters = tuple(str(kind) for kind in module.get_function(kernel).type.param_types())
                if stage == "llir":
                    check_limits(metadata, target)
                if stage == "ptx" and ".extern .func" in module:  # the gate lets none through
                    raise CompileError("the kernel calls a device function outside the module; define it there")
        except GateError as error:
            raise CompileError(str(error)) from error
        except (TritonError, RuntimeError, ValueError, AssertionError, MemoryError) as error:
            log = f"{output()}\n{error}".strip()
            raise CompileError(_reason(stage, target, log), log, unfit=stage == "cubin") from error
        log = output()
    return _compiled(target, metadata, outputs, parameters, log)


def check_limits(metadata: dict[str, Any], target: Target) -> None:
    """Raises `CompileError` when one block of the kernel needs more than the target has.

    `metadata` as Triton fills it: `shared` (bytes), `num_warps`, on sm_100 `tmem_size` (columns of tensor memory).
    """
    threads = metadata["num_warps"] * GPU_TARGETS[target].warp_size
    cure = "use smaller tiles, fewer stages or a smaller accumulator"
    needs = (
        ("shared memory", metadata["shared"], SHARED_BYTES[target], "bytes", "use smaller tiles or fewer stages"),
        ("threads", threads, MAX_THREADS, "threads", "use fewer warps"),
        ("tensor memory", metadata.get("tmem_size") or 0, MAX_TENSOR_MEMORY_COLUMNS, "columns", cure),
    )
    for what, required, limit, unit, advice in needs:
        if required > limit:
            reason = f"out of {what}: {required} {unit} required, the limit for {target} is {limit}; {advice}"
            raise CompileError(reason, unfit=True)


def disassemble(cubin: bytes, scratch: Path) -> str:
    """SASS text of a cubin, by the `nvdisasm` that Triton's package brings."""
    path = scratch / "kernel.cubin"
    path.write_bytes(cubin)
    command = [triton.knobs.nvidia.nvdisasm.path, "-c", "-ndf", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _compiled(
    target: Target, metadata: dict[str, Any], outputs: dict[str, Any], parameters: tuple[str, ...], log: str
) -> Compiled:
    """Raises `CompileError` for a kernel whose launch would need something that a replay does not give."""
    nvidia = target.startswith("sm_")
    if metadata.get("profile_scratch_size"):
        raise CompileError("the kernel needs scratch for profiling; leave out instrumentation")
    described = metadata.get("tensordesc_meta") or ()
    if any(d.get("is_im2col") for d in described):
        raise CompileError("the kernel takes an im2col tensor descriptor; take a tiled one")
    return Compiled(
        kernel=metadata["name"],
        target=target,
        binary=outputs["cubin" if nvidia else "hsaco"],
        assembly=outputs["ptx" if nvidia else "amdgcn"],
        log=log if nvidia else "",
        shared_bytes=metadata["shared"],
        num_warps=metadata["num_warps"],
        num_ctas=metadata["num_ctas"],
        global_scratch_bytes=metadata.get("global_scratch_size") or 0,
        global_scratch_align=metadata.get("global_scratch_align") or 1,
        cooperative=bool(metadata.get("launch_cooperative_grid")),
        descriptors=tuple(
            DescriptorLayout(
                swizzle=d["swizzle"],
                elem_size=d["elem_size"],
                elem_type=TENSOR_MAP_TYPES.get(d["elem_type"], d["elem_type"]),
                block_size=tuple(d["block_size"]),
                fp4_padded=d["fp4_padded"],
            )
            for d in described
        ),
        parameters=parameters,
    )


def _require_nvidia_tools() -> None:
    """Raises `RuntimeError` naming a tool that is missing: the host's fault, found out before the kernel is blamed."""
    for tool in ("ptxas", "ptxas_blackwell", "nvdisasm"):
        getattr(triton.knobs.nvidia, tool)  # runs `--version` the first time; the result is remembered


def _parse(source: Path, gpu: Any, options: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """The backend's stages by name, the parsed module, and the metadata that stages read and extend."""
    backend = make_backend(gpu)
    parsed = backend.parse_options(dict(options))
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    module = ir.parse_mlir_module(str(source), context)
    module.context = context  # keeps the context alive as long as the module
    stages: dict[str, Any] = {}
    backend.add_stages(stages, parsed, Language.TRITON)
    return stages, module, {**vars(parsed), "target": gpu}


@contextlib.contextmanager
def _compiler_settings(scratch: Path) -> Iterator[None]:
    knobs, temporary = triton.knobs, tempfile.tempdir
    tempfile.tempdir = str(scratch)
    with knobs.compilation.scope(), knobs.cache.scope(), knobs.nvidia.scope():
        knobs.compilation.disable_line_info = True
        knobs.cache.dir = str(scratch)
        knobs.nvidia.dump_ptxas_log = True
        try:
            yield
        finally:
            tempfile.tempdir = temporary


@contextlib.contextmanager
def _captured(scratch: Path) -> Iterator[Any]:
    """Collects what Python prints and what C++ writes to descriptors 1 and 2 (MLIR's diagnostics)."""
    printed = io.StringIO()
    sys.stdout.flush()
    sys.stderr.flush()
    with (scratch / "compiler.log").open("w+b") as file:
        saved = os.dup(1), os.dup(2)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)

        def output() -> str:
            file.seek(0)
            return (file.read().decode(errors="replace") + printed.getvalue()).strip()

        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                yield output
        finally:
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


def _reason(stage: str, target: Target, log: str) -> str:
    """The first error in the compiler's output, without file names, as one sentence."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    named = [line for line in lines if re.search(r"\b(error|fatal)\s*:", line)]
    first = (named or lines[-1:] or ["no message"])[0]
    first = re.sub(r"^.*?\b(error|fatal)\s*:\s*", "", first)[:LINE_CHARS]
    what = {"parse": "not valid Triton IR or options", "cubin": "ptxas failed"}.get(stage, f"stage {stage} failed")
    return f"{what} for {target}: {first}"
