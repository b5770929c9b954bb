"""Task → chat messages, in our own way or in those of KernelBench and TritonBench (`Task.prompt_format`): what they
show and in which order, not their sentences. Hidden cases and input generators never reach the model.

Kept short on purpose: with a 135 M model a long prompt costs more than it tells.
"""

import ast

from data_pipeline.families import BY_OPERATOR
from data_pipeline.operators import operators
from data_pipeline.task import Attempt, Message, Task
from sandbox.kernels.syntax import parsed
from sandbox.types import Case, Passed, Rejected

SYSTEM = "You write GPU kernels in Triton. Answer with one ```python block that holds the complete file."
NEVER_SHOWN = frozenset({"make_inputs"})
KERNELBENCH_ROOTS = ("Model", "get_inputs", "get_init_inputs")
"""KernelBench's generators are public and the only place where its shapes are written."""
EXACT = ("T32", "TS")
PRODUCTS = BY_OPERATOR["matmul"] | BY_OPERATOR["attention"]
MAX_REASON_CHARS = 600
"""A reason can quote the candidate's own text; cut, so that a parent cannot crowd out the task."""


def render_prompt(task: Task, parent: Attempt | None = None) -> list[Message]:
    """The messages that ask for a Triton version of the task's reference.

    With `parent`, the earlier code and what the sandbox said about it are shown, and an improvement is asked for.

    Raises:
        ValueError: the task's reference does not define its entry point.
    """
    parts = {"plain": _plain, "kernelbench": _kernelbench, "tritonbench": _tritonbench}[task.prompt_format](task)
    if parent is not None:
        parts.append(_parent_text(parent, {case.name for case in task.cases}))
    return [Message(role="system", content=SYSTEM), Message(role="user", content="\n\n".join(parts))]


def _plain(task: Task) -> list[str]:
    return [
        task.description,
        f"Reference:\n```python\n{shown_reference(task.reference, task.entry_point)}```",
        *_precision(task),
        f"Cases: {'; '.join(_case_text(case) for case in task.cases)}",
        f"Write `{task.entry_point}` with the same signature in Triton. All arithmetic happens in `@triton.jit` "
        f"kernels; `{task.entry_point}` only allocates outputs and launches.",
    ]


def _kernelbench(task: Task) -> list[str]:
    """The architecture alone says what is wanted, shapes included."""
    return [
        "Speed up this PyTorch architecture by replacing its operators with custom Triton kernels; fuse operators "
        "where that helps.",
        f"```python\n{shown_reference(task.reference, task.entry_point)}```",
        *_precision(task),
        f"Name the new architecture `{task.entry_point}`: same constructor arguments, same inputs and outputs. Give "
        "the whole file as real code that compiles and runs, without tests.",
    ]


def _precision(task: Task) -> list[str]:
    """What nobody could know of the check: TF32, the default of `tl.dot`, is refused where PyTorch does without it."""
    entry_point = "Model" if task.entry_point == "ModelNew" else task.entry_point
    applied = {name for name, _ in operators(task.reference, entry_point)}
    if task.tolerance not in EXACT or not applied & PRODUCTS:
        return []
    return ['Products of float32 are those of float32: `tl.dot` needs `input_precision="ieee"`.']


def _tritonbench(task: Task) -> list[str]:
    """A description of a function, and no reference."""
    return [
        "Write the Triton kernels and the Python wrapper for this function. The wrapper must have exactly the name and "
        "the arguments given.",
        task.description,
    ]


def render_answer(code: str) -> str:
    """The assistant message that `extract_kernel` turns back into `code`: the target of SFT."""
    return f"```python\n{code.strip(chr(10))}\n```"


def shown_reference(reference: str, entry_point: str) -> str:
    """The entry point and what it needs from its file: helpers, constants, unusual imports; no input generator.

    Raises:
        ValueError: neither `entry_point` nor, for `ModelNew`, `Model` is defined in `reference`.
    """
    tree = parsed(reference)
    roots = KERNELBENCH_ROOTS if entry_point == "ModelNew" else (entry_point,)
    definitions = {name: node for node in tree.body for name in _bound_names(node)}
    if roots[0] not in definitions:
        raise ValueError(f"the task's reference does not define `{roots[0]}`; its entry point is `{entry_point}`")
    queue = [definitions[root] for root in roots if root in definitions]
    wanted = {id(node) for node in queue}
    while queue:
        names = {n.id for n in ast.walk(queue.pop()) if isinstance(n, ast.Name)} - NEVER_SHOWN
        for name in sorted(names & definitions.keys()):
            node = definitions[name]
            if id(node) not in wanted and not _usual_import(node):
                wanted.add(id(node))
                queue.append(node)
    lines = reference.splitlines()
    sources = ["\n".join(lines[_first_line(n) - 1 : n.end_lineno]) for n in tree.body if id(n) in wanted]
    return "\n\n".join(sources) + "\n"


def _first_line(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _bound_names(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.split(".")[0] for alias in node.names]
    return []


def _usual_import(node: ast.stmt) -> bool:
    """`torch`, `torch.nn as nn`, `torch.nn.functional as F`: everybody knows these, they need no tokens."""
    return isinstance(node, ast.Import) and all(alias.name.split(".")[0] == "torch" for alias in node.names)


def _case_text(case: Case) -> str:
    return ", ".join(f"{key}={value}" for key, value in case.args.items()) or case.name


def _parent_text(parent: Attempt, public_cases: set[str]) -> str:
    match parent.verdict:
        case Passed(timings=timings):
            said = "It is right."
            for timing in (t for t in timings or () if t.case in public_cases):
                said += f" Case {timing.case}: {timing.candidate_ms:.4g} ms, baseline {timing.baseline_ms:.4g} ms."
            wish = "Write a faster one."
        case Rejected(stage=stage, reason=reason):
            said, wish = f"It failed at stage `{stage}`: {reason[:MAX_REASON_CHARS]}", "Write a corrected one."
        case _:
            said, wish = "It was not judged.", "Write a better one."
    return f"An earlier answer:\n```python\n{parent.code.strip(chr(10))}\n```\n{said} {wish}"
