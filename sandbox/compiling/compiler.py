"""The compile role: clean kernel source, or Triton IR, to machine code and statistics, in an isolated child that never
sees the candidate's host code.
"""

import ast
import base64
import linecache
import tempfile
from pathlib import Path
from typing import Any, get_args

from sandbox.compiling.binary import Binary
from sandbox.compiling.binary_stats import kernel_stats
from sandbox.compiling.lowering import LoweringError, lower
from sandbox.kernels.request import KernelRequest
from sandbox.kernels.source import build
from sandbox.plans.plan import Pointer, Scalar, View
from sandbox.tracing import warm_candidate
from sandbox.triton_private import trace as triton_trace
from sandbox.triton_private.compile import Compiled, CompileError, compile_ttir
from sandbox.types import KernelStats, Target


def warm() -> None:
    """Lower and compile a small kernel for every target: Triton's frontend, LLVM and its passes, tools and their
    versions are then ready.

    For the process that compilers are forked from: it starts no threads.
    """
    for target in get_args(Target):
        with tempfile.TemporaryDirectory() as scratch:
            (lowered,) = lower([_our_own()], target, Path(scratch))
            compile_ttir(lowered.ttir, target, lowered.options, Path(scratch))
    triton_trace.forget_functions()
    linecache.clearcache()


def _our_own() -> KernelRequest:
    """The softmax of `warm_candidate`."""
    memory = Pointer(view=View(buffer=0, dtype="float32", shape=[1], strides=[1], offset=0))
    return KernelRequest(
        name="softmax_kernel",
        module=build(ast.parse(warm_candidate.CANDIDATE), {"softmax_kernel": None}, set()),
        constants={},
        options={"num_warps": 4},
        arguments={
            "x_ptr": memory, "y_ptr": memory, "cols": Scalar(value=32), "scale": Scalar(value=0.5),
            "BLOCK": Scalar(value=32, constexpr=True),
        },
    )  # fmt: skip


def compile_kernels(request: dict[str, Any], scratch: Path, fds: list[int]) -> dict[str, Any]:
    """Request: `target`; `launches`, each a `KernelRequest`, or else `kernels` with `name`, `ttir`, `options`; and
    `static`: make statistics too (true if left out), for which NVIDIA binaries are disassembled.

    Reply: `{"static": [KernelStats…], "binaries": [Binary…]}`, each one a kernel in order or empty (AMD has no
    binaries: nothing launches them yet), or `{"rejected": {stage, reason, log}}`. Equal kernels are compiled once.
    """
    target: Target = request["target"]
    try:
        kernels = _lowered(request, target, scratch)
    except LoweringError as error:
        return error.reply()
    made: dict[str, tuple[Compiled, KernelStats | None]] = {}
    static: list[KernelStats] = []
    binaries: list[Binary] = []
    for kernel in kernels:
        content = f"{kernel['ttir']}{sorted(kernel['options'].items())}"
        try:
            if content not in made:
                compiled = compile_ttir(kernel["ttir"], target, kernel["options"], scratch)
                stats = kernel_stats(compiled, target, scratch) if request.get("static", True) else None
                made[content] = compiled, stats
        except CompileError as error:
            reason = f"kernel {kernel['name']}: {error.reason}"
            return {"rejected": {"stage": "compile", "reason": reason, "log": error.log, "unfit": error.unfit}}
        compiled, stats = made[content]
        if stats is not None:
            static.append(stats.model_copy(update={"kernel": kernel["name"]}))
        if target.startswith("sm_"):
            binaries.append(_binary(compiled, kernel.get("signature", {})))
    return {
        "static": [record.model_dump(mode="json") for record in static],
        "binaries": [record.model_dump(mode="json") for record in binaries],
    }


def _lowered(request: dict[str, Any], target: Target, scratch: Path) -> list[dict[str, Any]]:
    """Raises `LoweringError`."""
    if "launches" not in request:
        return list(request["kernels"])
    launches = [KernelRequest.model_validate(launch) for launch in request["launches"]]
    lowered = lower(launches, target, scratch)
    return [{"name": launch.name, **one._asdict()} for launch, one in zip(launches, lowered, strict=True)]


def _binary(compiled: Compiled, signature: dict[str, Any]) -> Binary:
    shared = Binary.model_fields.keys() & Compiled.model_fields.keys()
    return Binary(
        cubin=base64.b64encode(compiled.binary).decode(),
        symbol=compiled.kernel,
        signature=signature,
        **{name: getattr(compiled, name) for name in shared},
    )
