"""Is a task worth posing? The process that `data_pipeline.probe` starts: warm, and forking an isolated child a task.

References from elsewhere are as untrusted as candidates, so every reference runs where candidates run: without network,
other files or other processes, and within limits of time and memory (`sandbox.jail.zygote`). The yardstick is the
sandbox's own comparison: a wrong answer that anybody would think of first (zeros, a constant, an input handed back, one
input ignored) must fail it.
"""

import copy
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import torch

from data_pipeline.task import Task
from sandbox.jail import isolation, zygote
from sandbox.judging.numerics import compare
from sandbox.judging.reference import Drawn, Reference, leaves, structure
from sandbox.types import TOLERANCES, Case, Tolerance

SEEDS = (1, 2)
"""Any two: tasks are judged later under secret seeds, so nothing can be fitted to these."""
REFERENCE_SECONDS = 2.0
"""CPU budget of one evaluation of one case in float64: the sandbox makes several for every candidate, on one core. What
sleeps instead of computing runs into the deadline of the whole examination."""
WARM_UP = """
import torch
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten())
        self.linear = torch.nn.Linear(8, 4)
    def forward(self, x):
        return torch.softmax(self.linear(self.layers(x)), -1) + x.sum()
def get_inputs():
    return [torch.randn(2, 1, 4, 4)]
"""


def examine(task: Task) -> str | None:
    """Why the task is not worth posing; None if it is. Runs its reference here: elsewhere ask `data_pipeline.probe`."""
    try:
        return _examine(task)
    except Exception as error:  # whatever a task's own code raises is the finding, not a fault of this process
        return f"the reference does not run: {type(error).__name__}: {error}"[:2000]


def answer(request: dict[str, Any], scratch: Path, files: list[int]) -> dict[str, Any]:
    """What `examine` says of `task`, as `reason`. In the child, which needs neither `scratch` nor `files`."""
    return {"reason": examine(Task.model_validate_json(request["task"]))}


def _examine(task: Task) -> str | None:
    reference = Reference(task.reference, task.entry_point)
    tolerance = TOLERANCES[task.tolerance]
    fooled: dict[str, list[Case]] = {}
    for case in task.cases + task.hidden_cases:
        drawn = reference.draw_from(SEEDS[0], case)
        others = reference.draw_from(SEEDS[1], case, drawn.model)
        expected = _Expected(reference, drawn)
        reason = expected.fault(reference, drawn, tolerance)
        if reason:
            return f"case {case.name}: {reason}"
        for name, candidate in _cheap_answers(reference, drawn, others, expected).items():
            if all(expected.accepts(i, leaf, tolerance) for i, leaf in enumerate(candidate)):
                fooled.setdefault(name, []).append(case)
    for name, cases in fooled.items():
        if any(not case.hidden for case in cases) or len(cases) == len(task.cases + task.hidden_cases):
            return f"{name} passes on case {cases[0].name}"
        if task.hidden_cases and sum(case.hidden for case in cases) == len(task.hidden_cases):
            return f"{name} passes on all hidden cases"
    return None


class _Expected:
    """The reference's outputs on one draw: in the case's dtype and in float64."""

    def __init__(self, reference: Reference, drawn: Drawn) -> None:
        output = reference.run(drawn, double=False)
        structure(output)  # raises where it holds anything but tensors
        self.eager = leaves(output)
        started = time.process_time()
        self.truth = leaves(reference.run(drawn, double=True))
        self.seconds = time.process_time() - started

    def fault(self, reference: Reference, drawn: Drawn, tolerance: Tolerance) -> str | None:
        if self.seconds > REFERENCE_SECONDS:
            return f"the reference takes {self.seconds:.1f} s; its CPU budget is {REFERENCE_SECONDS} s"
        if not self.eager or not any(t.numel() for t in self.eager):
            return "the output holds no number"
        if not any(isinstance(value, torch.Tensor) for value in drawn.inputs):
            return "there is no tensor among the inputs"
        kept = Drawn(copy.deepcopy(drawn.inputs), drawn.model)
        with torch.no_grad():
            again = leaves((drawn.model or reference.target)(*kept.inputs))
        count = len(drawn.tensors) - len(drawn.parameters)
        if not all(map(torch.equal, kept.tensors[:count], drawn.tensors[:count])):
            return "the reference changes its inputs"
        if not all(map(torch.equal, again, self.eager)):
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
    reference: Reference, drawn: Drawn, others: Drawn, expected: _Expected
) -> dict[str, list[torch.Tensor]]:
    """Answers that must be wrong, by name; one tensor for each output."""
    truth = expected.truth
    answers = {"zero": [torch.zeros_like(t) for t in truth]}
    for axis in range(max(t.dim() for t in truth)):
        if all(t.dim() > axis and t.shape[axis] > 1 and t.is_floating_point() for t in truth):
            answers[f"an output constant along axis {axis}"] = [t.mean(axis, keepdim=True).expand_as(t) for t in truth]
    for position, (mine, other) in enumerate(zip(drawn.inputs, others.inputs, strict=True)):
        if not isinstance(mine, torch.Tensor):
            continue
        if len(truth) == 1 and mine.is_floating_point():
            answers[f"input {position} handed back"] = [mine]
        changed = Drawn((*drawn.inputs[:position], other, *drawn.inputs[position + 1 :]), drawn.model)
        answers[f"ignoring input {position}"] = leaves(reference.run(changed, double=True))
    return answers


def warm() -> None:
    """What torch does at first use is done before the forks."""
    torch.set_num_threads(1)
    reference = Reference(WARM_UP, "ModelNew")
    _Expected(reference, reference.draw_from(SEEDS[0], Case(name="warm")))


def main() -> None:
    """`python -m data_pipeline.quality FD`."""
    isolation.die_with_parent()
    channel = socket.socket(fileno=int(sys.argv[1]))
    warm()
    zygote.serve(answer, channel, "run")
    os._exit(0)


if __name__ == "__main__":
    main()
