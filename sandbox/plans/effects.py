"""What a plan did when it ran: whether kernels did the work, and left the inputs alone.

`changed` has, for each step of the plan, the buffers whose bytes it changed.
"""

from collections import Counter
from typing import Any

from sandbox.plans.plan import Copy, Launch, Plan, TorchCall, View
from sandbox.types import Policy

MOST_FILLED = 1 / 3
"""Of an output, by torch, behind all kernels that write to it: a border, not the work."""


def told(changed: Any, steps: int) -> list[set[int]] | None:
    """The buffers that each step has changed, by the process that ran them; None if it says no such thing."""
    if not isinstance(changed, list) or len(changed) != steps or not all(isinstance(found, list) for found in changed):
        return None
    if any(type(number) is not int for found in changed for number in found):
        return None
    return [set(found) for found in changed]


def idle_output(plan: Plan, views: list[View], changed: list[set[int]], policy: Policy) -> str | None:
    """What is wrong with the first output into which too little work went.

    Work is what a launch changed, or a copy of that; under `mixed` whatever any step changed. Behind it, no more than
    `MOST_FILLED` of an output may be filled.
    """
    worked: dict[int, int] = {}
    """Buffer → how many bytes of it have been overwritten since, and not by a kernel."""
    filled: Counter[int] = Counter()
    """Of these, by what is neither a kernel's nor an input's: constants."""
    given = {number for number, buffer in enumerate(plan.buffers) if buffer.input is not None}
    largest = {view.buffer: view.nbytes for view in views}
    for step, buffers in zip(plan.steps, changed, strict=True):
        if isinstance(step, Launch) or policy == "mixed":
            worked |= dict.fromkeys(buffers, 0)
            filled -= Counter({number: filled[number] for number in buffers})
        if isinstance(step, Launch | TorchCall) or policy == "mixed":
            continue
        moved = isinstance(step, Copy) and step.source.buffer in given
        if moved:
            given.add(step.target.buffer)
        if isinstance(step, Copy) and step.source.buffer in worked:
            worked[step.target.buffer] = 0
        elif step.target.buffer in worked:
            worked[step.target.buffer] += step.target.nbytes
            filled[step.target.buffer] += 0 if moved else step.target.nbytes
            if worked[step.target.buffer] >= largest.get(step.target.buffer, plan.buffers[step.target.buffer].nbytes):
                del worked[step.target.buffer]
    for n, view in enumerate(views):
        if view.nbytes and view.buffer not in worked:
            return f"no Triton kernel changes anything in output {n}"
        if view.nbytes and filled[view.buffer] > MOST_FILLED * view.nbytes:
            return f"behind the kernels, torch fills much of output {n}; let a kernel write it"
    return None


def borrowed_input(plan: Plan, changed: list[set[int]], mutates: tuple[int, ...]) -> int | None:
    """The first input that a launch changed although the task says nothing of it, be it that a later one undid that."""
    launched = [buffers for step, buffers in zip(plan.steps, changed, strict=True) if isinstance(step, Launch)]
    sources = {n: buffer.input for n, buffer in enumerate(plan.buffers) if buffer.input not in mutates}
    found = (source for n, source in sources.items() if source is not None and any(n in one for one in launched))
    return next(found, None)
