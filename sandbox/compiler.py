"""The compile role: Triton IR to machine code and statistics, in an isolated child that never sees candidate Python."""

from pathlib import Path
from typing import Any, get_args

from sandbox.binary_stats import kernel_stats
from sandbox.triton_compile import CompileError, compile_ttir
from sandbox.triton_compile import warm as warm_targets
from sandbox.types import Target


def warm() -> None:
    """Load the back-ends of all targets."""
    warm_targets(get_args(Target))


def compile_kernels(request: dict[str, Any], scratch: Path, fds: list[int]) -> dict[str, Any]:
    """Request: `target`, and `kernels` with `name`, `ttir`, `options`.

    Reply: `{"static": […]}` or `{"rejected": {…}}`.
    """
    static = []
    for kernel in request["kernels"]:
        try:
            compiled = compile_ttir(kernel["ttir"], request["target"], kernel["options"], scratch)
        except CompileError as error:
            return {
                "rejected": {"stage": "compile", "reason": f"kernel {kernel['name']}: {error.reason}", "log": error.log}
            }
        static.append(
            kernel_stats(compiled, request["target"]).model_copy(update={"kernel": kernel["name"]}).model_dump()
        )
    return {"static": static}
