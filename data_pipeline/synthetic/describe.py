"""A program in words, in several forms: a formula, steps, a paragraph, and TritonBench's description of a function."""

import random
import re
from typing import Literal

from data_pipeline.synthetic.ops import OPS
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import RUNNING, Contents, Input, Program
from data_pipeline.synthetic.reference import index_name
from data_pipeline.synthetic.templates.host import like

Form = Literal["formula", "steps", "sentence"]
HOLDS: dict[Contents, str] = {
    "index": "int64 indices", "columns": "int64 column indices", "labels": "int64 class labels",
    "permutation": "an int64 permutation", "int8": "int8", "uint8": "uint8", "booleans": "bool",
}  # fmt: skip
LIES = {
    "transposed": "a transposed view", "sliced": "a slice of wider rows", "second": "a view of every second column"
}  # fmt: skip


def describe(program: Program, pose: Pose, rng: random.Random) -> str:
    """Shapes, dtype and what is computed; never a case's sizes."""
    if pose.format == "tritonbench":
        return _tritonbench(program, pose)
    form: Form = rng.choice(("formula", "formula", "steps", "sentence"))
    return in_words(program, form)


def in_words(program: Program, form: Form) -> str:
    shapes = ", ".join(f"{item.name} ({', '.join(item.shape)}){_note(item)}" for item in program.inputs)
    start = f"Inputs: {shapes}, {program.dtype}."
    returned = _returned(program)
    match form:
        case "formula":
            return f"{start} Compute {formula(program)}.{returned}"
        case "steps":
            return f"{start}\n{_steps(program)}{returned}"
        case "sentence":
            return (
                f"Given {shapes} in {program.dtype}, write one fused operator that returns {formula(program)}, of "
                f"shape ({', '.join(program.result)}){_dtype(program)}."
            )


def formula(program: Program) -> str:
    words = program.inputs[0].name
    if program.inputs[0].kind == "source":
        words = f"{words}[{index_name(program)}]"
    operands = {program.inputs[0].name: words} | {item.name: item.name for item in program.inputs[1:]}
    for step in program.steps:
        operands[RUNNING] = words = _in_words(OPS[step.op].words, [operands.get(arg, arg) for arg in step.args])
    return _outer(words)


def _steps(program: Program) -> str:
    """A numbered line an operator."""
    first = program.inputs[0].name
    lines = []
    if program.inputs[0].kind == "source":
        lines.append(f"{first}[{index_name(program)}]")
    for step in program.steps:
        args = ["t" if arg == RUNNING or (lines and arg == first) else arg for arg in step.args]
        lines.append(_outer(_in_words(OPS[step.op].words, args)))
    return "\n".join([*(f"{i}. t = {line}" for i, line in enumerate(lines, start=1)), "Return t."])


def _tritonbench(program: Program, pose: Pose) -> str:
    arguments = ", ".join(pose.arguments(program))
    lines = [
        f"Functional Description: Computes {formula(program)} in one fused operator. 16-bit inputs are computed on in "
        f"float32." if program.dtype in ("float16", "bfloat16")
        else f"Functional Description: Computes {formula(program)} in one fused operator.",
        f"Wrapper Entry Information: {pose.entry_point}({arguments}) -> Tensor",
        "Args:",
        *(
            f"    {item.name} (Tensor): shape ({', '.join(item.shape)}), "
            + (_note(item).strip() if item.contents in HOLDS else f"{program.dtype}{_note(item)}")
            for item in program.inputs
        ),
        f"Returns:\n    Tensor of shape ({', '.join(program.result)}){_dtype(program) or f', {_own_dtype(program)}'}",
        f"Math: out = {formula(program)}",
    ]  # fmt: skip
    return "\n".join(lines)


def _own_dtype(program: Program) -> str:
    return f"the dtype of {like(program).name}"


def _dtype(program: Program) -> str:
    return f", {program.result_dtype}" if program.result_dtype else ""


def _returned(program: Program) -> str:
    return f" The result is {program.result_dtype}." if program.result_dtype else ""


def _note(item: Input) -> str:
    words = [HOLDS[item.contents]] if item.contents in HOLDS else []
    words += ["(two 4-bit codes a byte, the low one first)"] if item.shape[-1] == "n // 2" else []
    words += [LIES[item.view]] if item.view else []
    return "".join(f" {word}" for word in words)


def _in_words(template: str, args: list[str]) -> str:
    """`f({0})` with `(a + b)` is `f(a + b)`: parentheses are dropped where the template has them already."""
    alone = {int(k) for k in re.findall(r"(?:\(|, )\{(\d)\}(?=[,)])", template)}
    return template.format(*(_outer(arg) if k in alone else arg for k, arg in enumerate(args)))


def _outer(words: str) -> str:
    """Without the parentheses that enclose the whole formula."""
    if not words.startswith("("):
        return words
    depth = 0
    for position, char in enumerate(words):
        depth += (char == "(") - (char == ")")
        if depth == 0:
            return words[1:-1] if position == len(words) - 1 else words
    return words
