"""Plans as a tracer writes them: an input, an output, and a launch that takes both, unless said otherwise."""

from typing import Any


def view(buffer: int = 1, n: int = 8, **changes: Any) -> dict[str, Any]:
    return {"buffer": buffer, "dtype": "float32", "shape": [n], "strides": [1], "offset": 0, **changes}


def launch(*views: dict[str, Any], grid: tuple[int, int, int] = (1, 1, 1)) -> dict[str, Any]:
    arguments = {f"p{i}": {"kind": "pointer", "view": v} for i, v in enumerate(views)}
    return {"kind": "launch", "kernel": 0, "grid": list(grid), "arguments": arguments}


def make(**changes: Any) -> dict[str, Any]:
    return {
        "buffers": [{"nbytes": 32, "input": 0}, {"nbytes": 32}],
        "kernels": [{"name": "k", "line": 1, "ttir": "", "options": {"num_warps": 4}, "constants": {}}],
        "steps": [launch(view(0), view(1))],
        "output": {"view": view(1)},
        **changes,
    }


def torch_call(result: dict[str, Any], *views: dict[str, Any], name: str = "aten::relu", **more: Any) -> dict[str, Any]:
    arguments = [{"kind": "tensor", "view": v} for v in views]
    return {"kind": "torch", "name": name, "arguments": arguments, "results": [result], **more}
