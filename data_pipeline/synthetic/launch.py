"""Kernels as data → Triton source in a style: decorators, signature, and the host function that launches them."""

import re

from data_pipeline.synthetic.lowered import Constant, Kernel, Lowered
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import Program
from data_pipeline.synthetic.style import Style

HEADER = "import torch\nimport triton\nimport triton.language as tl\n"


def solution_text(program: Program, style: Style, pose: Pose, lowered: Lowered) -> str:
    """The whole file."""
    parts = [HEADER]
    host = list(lowered.host)
    for kernel in lowered.kernels:
        tuned = tuning(kernel, style)
        parts += [f"\n\n{helper}\n" for helper in kernel.helpers]
        parts.append("\n\n" + "\n".join([*decorators(kernel, style, tuned), "@triton.jit", _definition(kernel, style)]))
        parts.append("".join(f"\n    {line}" for line in kernel.body) + "\n")
        host += _launch(kernel, style, pose, tuned)
    host.append(f"return {lowered.result}")
    return "".join(parts) + "\n\n" + pose.host(program, host)


def tuning(kernel: Kernel, style: Style) -> dict[str, Constant]:
    """Constants that a decorator sets."""
    if style.tuning == "autotune":
        return {name: constant for name, constant in kernel.constants.items() if constant.tuned}
    if style.tuning == "heuristics":
        return {
            name: constant for name, constant in kernel.constants.items()
            if "triton." in constant.value and all(word in kernel.sizes for word in _names(constant.value))
        }  # fmt: skip
    return {}


def decorators(kernel: Kernel, style: Style, tuned: dict[str, Constant]) -> list[str]:
    if not tuned:
        return []
    if style.tuning == "heuristics":
        found = []
        for name, constant in tuned.items():
            value = re.sub(r"(?<![\w.])([a-z]\w*)(?![\w.(])", r'args["\1"]', constant.value)
            found.append(f'"{name}": lambda args: {value}')
        if len(found) == 1:
            return [f"@triton.heuristics({{{found[0]}}})"]
        return ["@triton.heuristics({", *(f"    {line}," for line in found), "})"]
    choices = max(len(constant.tuned) for constant in tuned.values()) + 1
    lines = ["@triton.autotune(", "    configs=["]
    for number in range(choices):
        values = {name: [c.value, *map(str, c.tuned)][min(number, len(c.tuned))] for name, c in tuned.items()}
        inner = ", ".join(f'"{name}": {value}' for name, value in values.items())
        lines.append(f"        triton.Config({{{inner}}}, num_warps={(4, 8, 2)[number % 3]}),")
    keys = ", ".join(f'"{name}"' for name in kernel.sizes if not name.startswith("stride"))
    return [*lines, "    ],", f"    key=[{keys}],", ")"]


def _definition(kernel: Kernel, style: Style) -> str:
    arguments = [style.pointer_of(name) for name in kernel.tensors]
    arguments += [*kernel.sizes, *(f"{name}: tl.constexpr" for name in kernel.constants)]
    line = f"def {kernel.name}({', '.join(arguments)}):"
    if len(line) <= 110:
        return line
    return f"def {kernel.name}(\n    " + ", ".join(arguments) + ",\n):"


def _launch(kernel: Kernel, style: Style, pose: Pose, tuned: dict[str, Constant]) -> list[str]:
    lines: list[str] = []
    constants = {name: c.value for name, c in kernel.constants.items() if name not in tuned}
    if style.block_variable:
        for name, value in constants.items():
            if not value.isidentifier():
                lines.append(f"{name} = {value}")
                constants[name] = name
    grid = ", ".join(kernel.grid) + ("," if len(kernel.grid) == 1 else "")
    mentioned = [name for name in kernel.constants if re.search(rf"\b{name}\b", grid)]
    if style.grid == "lambda" or any(name in tuned for name in mentioned):
        for name in mentioned:
            grid = re.sub(rf"\b{name}\b", f'meta["{name}"]', grid)
        lines.append(f"grid = lambda meta: ({grid})")
        grid = "grid"
    else:
        for name in mentioned:
            grid = re.sub(rf"\b{name}\b", constants[name], grid)
        grid = f"({grid})"
        if style.grid == "named":
            lines.append(f"grid = {grid}")
            grid = "grid"
    # A lambda reads constants from the launch's keywords alone.
    by_name = style.block_by_name or bool(tuned) or "lambda" in "".join(lines)
    arguments = [pose.name_on_host(name) for name in kernel.tensors] + list(kernel.sizes.values())
    arguments += [f"{name}={value}" if by_name else value for name, value in constants.items()]
    if style.options and style.tuning != "autotune":
        arguments.append(style.options)
    call = f"{kernel.name}[{grid}]({', '.join(arguments)})"
    if len(call) > 112:
        call = f"{kernel.name}[{grid}](\n    {', '.join(arguments)},\n)"
    return [*lines, *call.split("\n")]


def _names(expression: str) -> list[str]:
    return re.findall(r"(?<![\w.])([a-z]\w*)(?![\w.(])", expression)
