"""One call of an operator for a profiler: `python -m sandbox.bench.profiled OPERATOR CASE CONTENDER`. Needs a GPU.

The profiler is on during the last call only; before it, what must be compiled or tuned is. It trusts the task file.
"""

import importlib.util
import sys
from collections.abc import Callable
from typing import Any, cast

import torch

from sandbox import references
from sandbox.bench.profile import OURS
from sandbox.judging.reference import Reference
from sandbox.types import Baseline

CALLS_BEFORE = 3


def call_of(operator: str, case: str, contender: str, device: str) -> Callable[[], Any]:
    """What a case of an operator costs `contender`, which is `OURS` or a baseline of the task.

    Raises:
        KeyError: no such operator.
        StopIteration: no such case.
        BrokenReferenceError: no such baseline.
    """
    task = references.load(operator, "gpu" if device == "cuda" else "cpu")
    reference = Reference(task.reference, task.entry_point, device)
    drawn = reference.draw_from(0, next(one for one in task.cases if one.name == case))
    function = (
        expert(operator) if contender == OURS else reference.baseline(drawn, drawn.tensors, cast(Baseline, contender))
    )
    arguments = drawn.arguments(drawn.tensors)
    return lambda: function(*arguments)


def expert(operator: str) -> Any:
    """The expert's function, from its file: Triton reads source lines."""
    path = references.FOLDER / "experts" / f"{operator}.py"
    spec = importlib.util.spec_from_file_location(operator, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, operator)


def main(operator: str, case: str, contender: str) -> None:
    from sandbox.judging.baselines import set_up_compiling  # needs a driver

    set_up_compiling()
    with torch.no_grad():
        call = call_of(operator, case, contender, "cuda")
        for _ in range(CALLS_BEFORE):
            call()
        torch.cuda.synchronize()
        with torch.cuda.profiler.profile():
            call()
            torch.cuda.synchronize()


if __name__ == "__main__":
    main(*sys.argv[1:])
