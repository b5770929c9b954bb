"""Triton IR text → GPU binary, ahead of time and with no GPU.

Differs from `triton.compile` in that
1. the backend's stages are run one by one, with no cache to poison and no driver to ask, and write only to `scratch`;
2. the `ttir` stage of the *target* runs too, so that IR lowered for one target compiles for another;
3. limits are checked as soon as they are known, and every fault of the kernel is one sentence (`CompileError`).

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
OPTIONS = frozenset(
    {
        "num_warps",
        "num_stages",
        "num_ctas",
        "maxnreg",
        "enable_fp_fusion",
        "waves_per_eu",
        "matrix_instr_nonkdim",
        "kpack",
    }
)
LOG_CHARS = 8000
LINE_CHARS = 300


class CompileError(Exception):
    """The kernel cannot be compiled for the target: the kernel's fault, never the host's."""

    def __init__(self, reason: str, log: str = "") -> None:
        super().__init__(reason, log)
        self.reason = reason
        """One sentence."""
        self.log = log[:LOG_CHARS]
        """What the compiler printed, cut at the end to `LOG_CHARS`."""

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
    sass: str = ""
    """Machine code disassembled from the cubin; empty on AMD, whose assembly is machine code."""
    log: str = ""
    """What `ptxas -v` said (registers and spills); empty on AMD."""
    shared_bytes: int
    num_warps: int
    """Warps of a block; more than was asked for where the compiler specialises warps."""


def require_known_triton(version: str = triton.__version__) -> None:
    """Raises `RuntimeError` for a Triton whose private API nobody has tried with this module."""
    if ".".join(version.split(".")[:2]) not in TRITON_VERSIONS:
        raise RuntimeError(
            f"triton {version} is unknown to sandbox.triton_compile: install one of {', '.join(TRITON_VERSIONS)}, "
            "or run tests/sandbox/test_compile.py with the new version and add it to TRITON_VERSIONS"
        )


def warm(targets: tuple[Target, ...]) -> None:
    """Finds the tools of every target and their versions (one `--version` call each), which Triton then remembers.

    For the process that compilers are forked from: it starts no threads.
    """
    require_known_triton()
    for target in targets:
        make_backend(GPU_TARGETS[target]).load_dialects(ir.context())
        if target.startswith("sm_"):
            _require_nvidia_tools()


def compile_ttir(ttir: str, target: Target, options: dict[str, int], scratch: Path) -> Compiled:
    """Compiles the one kernel of `ttir` for `target`.

    `options` are Triton launch options (`OPTIONS`); those that the target does not have are ignored. `scratch` is an
    existing writable folder. Line information is left out, so equal IR gives an equal binary wherever it came from.

    Raises `CompileError` when the kernel is at fault, `ValueError` for an option outside `OPTIONS`, `RuntimeError` for
    an unknown Triton, and `OSError` when a tool cannot be run.
    """
    require_known_triton()
    if unknown := options.keys() - OPTIONS:
        raise ValueError(f"unknown compile options {sorted(unknown)}; known: {sorted(OPTIONS)}")
    gpu = GPU_TARGETS[target]
    nvidia = target.startswith("sm_")
    if nvidia:
        _require_nvidia_tools()
    source = scratch / "kernel.ttir"
    source.write_bytes(ttir.encode(errors="replace"))  # untrusted text may hold lone surrogates
    stage, metadata, outputs = "parse", dict[str, Any](), dict[str, Any]()
    with _captured(scratch) as output, _compiler_settings(scratch):
        try:
            stages, module, metadata = _parse(source, gpu, {"enable_fp_fusion": True, **options})
            for stage, lower in stages.items():
                module = outputs[stage] = lower(module, metadata)
                if stage == "llir":
                    check_limits(metadata, target)
        except (TritonError, RuntimeError, ValueError, AssertionError) as error:
            log = f"{output()}\n{error}".strip()
            raise CompileError(_reason(stage, target, log), log) from error
        log = output()
    binary = outputs["cubin" if nvidia else "hsaco"]
    return Compiled(
        kernel=metadata["name"],
        target=target,
        binary=binary,
        assembly=outputs["ptx" if nvidia else "amdgcn"],
        sass=disassemble(binary, scratch) if nvidia else "",
        log=log if nvidia else "",
        shared_bytes=metadata["shared"],
        num_warps=metadata["num_warps"],
    )


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
            raise CompileError(
                f"out of {what}: {required} {unit} required, the limit for {target} is {limit}; {advice}"
            )


def disassemble(cubin: bytes, scratch: Path) -> str:
    """SASS text of a cubin, by the `nvdisasm` that Triton's package brings."""
    path = scratch / "kernel.cubin"
    path.write_bytes(cubin)
    command = [triton.knobs.nvidia.nvdisasm.path, "-c", "-ndf", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


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
    kernels = re.findall(r"^\s*tt\.func public @(.*?)\(", module.str_nodebug(), re.MULTILINE)
    if len(kernels) != 1:
        raise ValueError(f"expected one public kernel function, found {len(kernels)}")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", kernels[0]):  # LLVM aborts on some other names
        raise ValueError(f"the kernel's name {kernels[0][:100]} is not plain letters, digits and underscores")
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
