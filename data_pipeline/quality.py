"""Is a task worth posing? `python -m data_pipeline.quality`: tasks as JSON lines in, one `Quality` a line out.

A process of its own, because it imports torch and runs references. Only for references that we wrote or reviewed:
they run here without isolation. The yardstick is the sandbox's own comparison: a wrong answer that anybody would
think of first (zeros, a constant, an input handed back, one input ignored) must fail it.
"""

import copy
import sys
from collections.abc import Callable
from typing import Any

import torch

from data_pipeline.admit import Quality
from data_pipeline.task import Task
from sandbox.draw import Draw
from sandbox.numerics import Float64, compare, to_float64
from sandbox.types import TOLERANCES, Case, Tolerance

SEEDS = (1, 2)
"""Any two: tasks are judged later under secret seeds, so nothing can be fitted to these."""


def examine(task: Task) -> Quality:
    """Check one task on all its cases."""
    try:
        reason = _examine(task)
    except Exception as error:  # whatever a task's own code raises is the finding, not a fault of this process
        reason = f"the reference does not run: {type(error).__name__}: {error}"
    return Quality(task_id=task.id, reason=reason)


def _examine(task: Task) -> str | None:
    module: dict[str, Any] = {}
    exec(compile(task.reference, f"<{task.id}>", "exec"), module)
    function, make_inputs = _entry(module, task.entry_point), module["make_inputs"]
    tolerance = TOLERANCES[task.tolerance]
    fooled: dict[str, list[Case]] = {}
    for case in task.cases + task.hidden_cases:
        inputs, others = (_draw(make_inputs, case, seed) for seed in SEEDS)
        expected = _Expected(function, inputs)
        reason = expected.fault(function, inputs, tolerance)
        if reason:
            return f"case {case.name}: {reason}"
        for name, candidate in _cheap_answers(function, inputs, others, expected).items():
            if all(expected.accepts(i, leaf, tolerance) for i, leaf in enumerate(candidate)):
                fooled.setdefault(name, []).append(case)
    for name, cases in fooled.items():
        if any(not case.hidden for case in cases) or len(cases) == len(task.cases + task.hidden_cases):
            return f"{name} passes on case {cases[0].name}"
        if task.hidden_cases and sum(case.hidden for case in cases) == len(task.hidden_cases):
            return f"{name} passes on all hidden cases"
    return None


def _entry(module: dict[str, Any], entry_point: str) -> Callable[..., Any]:
    """The reference as a function; a KernelBench `Model` with its weights, in float64 where it is given such inputs."""
    if entry_point != "ModelNew":
        found: Callable[..., Any] = module[entry_point]
        return found
    torch.manual_seed(SEEDS[0])
    model = module["Model"](*module["get_init_inputs"]())
    exact = copy.deepcopy(model).double()

    def forward(*inputs: Any) -> Any:
        double = any(isinstance(value, torch.Tensor) and value.dtype == torch.float64 for value in inputs)
        with torch.no_grad():
            return (exact if double else model)(*inputs)

    return forward


class _Expected:
    """The reference's outputs on one draw: in the case's dtype and in float64."""

    def __init__(self, function: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
        self.eager = _leaves(function(*_clone(inputs)))
        with Float64():
            self.truth = _leaves(function(*to_float64(_clone(inputs))))

    def fault(self, function: Callable[..., Any], inputs: tuple[Any, ...], tolerance: Tolerance) -> str | None:
        kept = _clone(inputs)
        again = _leaves(function(*kept))
        if any(isinstance(a, torch.Tensor) and not torch.equal(a, b) for a, b in zip(kept, inputs, strict=True)):
            return "the reference changes its inputs"
        if not all(torch.equal(a, b) for a, b in zip(again, self.eager, strict=True)):
            return "the reference is not deterministic"
        for truth, eager in zip(self.truth, self.eager, strict=True):
            if not (truth.isfinite().all() and eager.isfinite().all()):
                return "the output is not finite"
            honest = compare(eager, truth, truth.to(eager.dtype), tolerance)
            if honest.reason:
                return f"an honest evaluation in the case's dtype misses the tolerance: {honest.reason}"
        return None

    def accepts(self, index: int, candidate: torch.Tensor, tolerance: Tolerance) -> bool:
        eager, truth = self.eager[index], self.truth[index]
        return candidate.shape == eager.shape and not compare(candidate.to(eager.dtype), truth, eager, tolerance).reason


def _cheap_answers(
    function: Callable[..., Any], inputs: tuple[Any, ...], others: tuple[Any, ...], expected: _Expected
) -> dict[str, list[torch.Tensor]]:
    """Answers that must be wrong, by name; one tensor for each output."""
    truth = expected.truth
    answers = {"zero": [torch.zeros_like(t) for t in truth]}
    for axis in range(max(t.dim() for t in truth)):
        if all(t.dim() > axis and t.shape[axis] > 1 and t.is_floating_point() for t in truth):
            answers[f"an output constant along axis {axis}"] = [t.mean(axis, keepdim=True).expand_as(t) for t in truth]
    for position, (mine, other) in enumerate(zip(inputs, others, strict=True)):
        if not isinstance(mine, torch.Tensor):
            continue
        if len(truth) == 1 and mine.is_floating_point():
            answers[f"input {position} handed back"] = [mine]
        changed = (*inputs[:position], other, *inputs[position + 1 :])
        with Float64():
            answers[f"ignoring input {position}"] = _leaves(function(*to_float64(_clone(changed))))
    return answers


def _draw(make_inputs: Callable[..., Any], case: Case, seed: int) -> tuple[Any, ...]:
    return tuple(make_inputs(dict(case.args), Draw(torch.Generator().manual_seed(seed), case.distribution)))


def _clone(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.clone() if isinstance(value, torch.Tensor) else value for value in inputs)


def _leaves(output: Any) -> list[torch.Tensor]:
    """Tensors of a tensor, tuple or list.

    Raises:
        TypeError: the output holds something else.
    """
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, tuple | list):
        return [leaf for value in output for leaf in _leaves(value)]
    raise TypeError(f"the output is a {type(output).__name__}; tasks return tensors")


def main() -> None:
    """Tasks on stdin, `Quality` lines on stdout."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        sys.stdout.write(examine(Task.model_validate_json(line)).model_dump_json() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
