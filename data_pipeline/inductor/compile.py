"""Compile one reference with Inductor for the GPU of this host: the code, its arguments, and the cases it serves."""

from typing import Any, Literal

import torch
import torch._dynamo
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.compile_fx import compile_fx
from torch._inductor.utils import run_and_get_code
from torch.fx.experimental.symbolic_shapes import ConstraintViolationError

from data_pipeline.task import Task
from sandbox.judging.reference import Drawn, Reference
from sandbox.types import Case, Record

REFUSALS = (TorchDynamoException, ConstraintViolationError, torch.OutOfMemoryError)
"""What the compiler, or the card, says to a program that is not for it."""


class Compiled(Record):
    """What the compiler made of one reference."""

    code: str
    inputs: tuple[str, ...]
    covered: tuple[str, ...]
    returns: Literal["tensor", "tuple", "list"]


def compiled(task: Task, case: Case, settings: dict[str, Any], row: int, device: str = "cuda") -> Compiled:
    """Compile the task's reference for the inputs of `case`, sizes as arguments (a model: sizes as numbers).

    Args:
        settings: of Inductor.
        row: a dimension that is no larger in any case is promised to the compiler to be at most this.

    Raises:
        TorchDynamoException, ConstraintViolationError, torch.OutOfMemoryError: it cannot be compiled here (`REFUSALS`).
    """
    reference = Reference(task.reference, task.entry_point, device)
    cases = {c.name: reference.draw(c) for c in task.cases + task.hidden_cases}
    if reference.is_model:
        return _once(reference, cases, case.name, settings, dynamic=False)
    try:
        _mark(cases, case.name, row)
        return _once(reference, cases, case.name, settings, dynamic=None)
    except (TorchDynamoException, ConstraintViolationError):  # a size that the program itself fixes may not be marked
        cases[case.name] = reference.draw(case)
        return _once(reference, cases, case.name, settings, dynamic=True)


def _mark(cases: dict[str, Drawn], name: str, row: int) -> None:
    """Every size may vary; one that is small in all cases stays so."""
    for number, tensor in enumerate(cases[name].tensors):
        for axis, size in enumerate(tensor.shape):
            if size > 1 and all(drawn.tensors[number].shape[axis] <= row for drawn in cases.values()):
                torch._dynamo.mark_dynamic(tensor, axis, min=2, max=row)
            elif size > 1:
                torch._dynamo.mark_dynamic(tensor, axis)


def _once(
    reference: Reference, cases: dict[str, Drawn], name: str, settings: dict[str, Any], dynamic: bool | None
) -> Compiled:
    torch._dynamo.reset()
    sources: list[str] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        sources[:] = [_source(node) for node in graph.graph.nodes if node.op == "placeholder"]
        return compile_fx(graph, inputs)

    drawn = cases[name]
    function = torch.compile(_function(reference, drawn), backend=backend, fullgraph=True, dynamic=dynamic)
    with torch.no_grad(), reference.device, torch._inductor.config.patch(settings):  # as the judge runs it
        result, codes = run_and_get_code(function, *drawn.arguments(drawn.tensors))
        covered = tuple(other for other, its in cases.items() if other == name or _serves(function, its))
    kind: Literal["tensor", "tuple", "list"] = "tuple" if isinstance(result, tuple) else "list"
    return Compiled(
        code=codes[0] if len(codes) == 1 else "",
        inputs=tuple(sources),
        covered=covered,
        returns="tensor" if isinstance(result, torch.Tensor) else kind,
    )


def _function(reference: Reference, drawn: Drawn) -> Any:
    return reference.target if drawn.model is None else drawn.model


def _serves(function: Any, drawn: Drawn) -> bool:
    """Whether the code that is there takes these inputs."""
    with torch.compiler.set_stance("fail_on_recompile"):
        try:
            function(*drawn.arguments(drawn.tensors))
        except RuntimeError as error:
            if "fail_on_recompile" not in str(error):
                raise
            return False
    return True


def _source(node: torch.fx.Node) -> str:
    """How the compiler names where an argument comes from: a property in some versions of torch, a method in others."""
    name = node.meta["grapharg"].source.name
    return str(name() if callable(name) else name)
