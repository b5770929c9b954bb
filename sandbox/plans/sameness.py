"""Whether two plans ask for the same: equal launches in one order, on memory of equal history, and equal outputs.

Nothing else counts. Buffers may be numbered otherwise; fills, copies, constants and torch operators may come earlier or
later, or be there in vain; and it does not matter whether memory got its first content in this call or in an earlier
one, from which it is kept. Launches in vain do count: what they do is known to nobody.
"""

import json
from collections.abc import Iterable
from typing import Any

from sandbox.plans.plan import DTYPES, Copy, Launch, Plan, Step, TorchCall, View, outputs, touched, written_by

Known = dict[str, int]
"""Numbers of histories, by what they are: equal ones have one number."""


def same_work(one: Plan, other: Plan) -> bool:
    """Of two well-formed plans; what makes no sense, or is too deep to be told, is not the same as anything."""
    known: Known = {}
    try:
        return _work(one, known) == _work(other, known)
    except (LookupError, ValueError, RecursionError):
        return False


def stands_for(one: Plan, other: Plan) -> bool:
    """Whether what the first one shows holds for the second: it asks for the same, and launches meet no memory there
    that is kept from an earlier call and here is not.
    """
    if not same_work(one, other):
        return False
    return all(here or not there for here, there in zip(_kept(one), _kept(other), strict=True))


def _kept(plan: Plan) -> list[bool]:
    """Of the memory that each launch reaches, in order: where plans ask for the same, one has as many as the other."""
    found = []
    for step in plan.steps:
        if isinstance(step, Launch):
            places: dict[int, int] = {}
            _with_places(step.model_dump(), places)
            found += [plan.buffers[buffer].kept for buffer in places]
    return found


def _work(plan: Plan, known: Known) -> list[int]:
    """A number for each launch, in order, and one for the outputs."""
    kernels = [_number(known, kernel.model_dump()) for kernel in plan.kernels]
    unset = [_number(known, buffer.nbytes, buffer.input) for buffer in plan.buffers]
    states, work = list(unset), []
    for step in plan.steps:
        places: dict[int, int] = {}
        data = _with_places(step.model_dump(exclude={"kept"}), places)
        covered = _covered(step, plan)
        before = [unset[buffer] if buffer == covered else states[buffer] for buffer in places]
        term = _number(known, data, before, kernels[step.kernel] if isinstance(step, Launch) else None)
        for buffer in _changed(step):
            states[buffer] = _number(known, term, places[buffer])
        work += [term] if isinstance(step, Launch) else []
    tree, places = outputs(plan.output), {}
    views = [_with_places(view.model_dump(), places) for view in tree.views]
    return [*work, _number(known, tree.structure, views, [states[buffer] for buffer in places])]


def _number(known: Known, *what: Any) -> int:
    return known.setdefault(json.dumps(what, sort_keys=True), len(known))


def _with_places(tree: Any, places: dict[int, int]) -> Any:
    """A piece of a step with places of buffers among `places`, to which new ones are added, for their numbers, and
    without the number of a kernel.
    """
    if isinstance(tree, list):
        return [_with_places(item, places) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if isinstance(tree.get("strides"), list):  # a view; a launch's arguments may have the name too
        return {**tree, "buffer": places.setdefault(tree["buffer"], len(places))}
    return {key: _with_places(item, places) for key, item in tree.items() if (key, type(item)) != ("kernel", int)}


def _changed(step: Step) -> Iterable[int]:
    if isinstance(step, Launch):
        return touched(step)
    return {view.buffer for view in written_by(step)} if isinstance(step, TorchCall) else {step.target.buffer}


def _covered(step: Step, plan: Plan) -> int | None:
    """The buffer of whose earlier content a step leaves nothing."""
    if isinstance(step, Launch | TorchCall):
        return None
    target = step.target
    whole = _length(target) == plan.buffers[target.buffer].nbytes
    return target.buffer if whole and not (isinstance(step, Copy) and step.source.buffer == target.buffer) else None


def _length(view: View) -> int:
    """How many bytes from the beginning of its buffer a view covers without a gap."""
    reach = 1
    for stride, n in sorted((s, n) for s, n in zip(view.strides, view.shape, strict=True) if n != 1):
        if stride != reach:
            return 0
        reach *= n
    return reach * DTYPES[view.dtype] if view.offset == 0 else 0
