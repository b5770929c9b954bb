"""Questions about recorded steps, while they still are plain data: what they read, what they write, which are needed.

A view is a dictionary with `buffer` and a list of `strides`, wherever it stands in a step.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.plans.aten_names import HIDDEN_WRITES

Step = dict[str, Any]


def views_in(tree: Any) -> Iterator[dict[str, Any]]:
    """All views inside a piece of a step."""
    if isinstance(tree, dict):
        if _is_view(tree):
            yield tree
        else:
            for item in tree.values():
                yield from views_in(item)
    elif isinstance(tree, list):
        for item in tree:
            yield from views_in(item)


def _is_view(tree: dict[str, Any]) -> bool:
    """A launch's arguments are a dictionary too, whose keys are the kernel's parameters."""
    return isinstance(tree.get("strides"), list)


def read(step: Step) -> set[int]:
    """Buffers that a step reads; for a launch all that it can reach."""
    if step["kind"] == "launch":
        return {view["buffer"] for view in views_in(step["arguments"])}
    if step["kind"] == "torch":
        return {view["buffer"] for view in views_in([step.get("arguments", []), step.get("keywords", {})])}
    return {step["source"]["buffer"]} if step["kind"] == "copy" else set()


def written(step: Step) -> set[int]:
    """Buffers that a step writes; nothing is known about launches."""
    if step["kind"] == "launch":
        return set()
    if step["kind"] == "torch":
        arguments = step.get("arguments", [])
        hidden, flag = HIDDEN_WRITES.get(step["name"], ((), 0))
        idle = flag < len(arguments) and arguments[flag].get("value") is False
        changed = [arguments[number] for number in hidden if number < len(arguments) and not idle]
        return {view["buffer"] for view in views_in([step.get("results", []), changed])}
    return {step["target"]["buffer"]}


def moved(step: Step, numbers: Mapping[int, int]) -> Step:
    """The step with other buffers: `numbers` maps old to new, all others stay."""

    def move(tree: Any) -> Any:
        if isinstance(tree, dict):
            if _is_view(tree):
                return {**tree, "buffer": numbers.get(tree["buffer"], tree["buffer"])}
            return {key: move(item) for key, item in tree.items()}
        return [move(item) for item in tree] if isinstance(tree, list) else tree

    return {key: move(item) for key, item in step.items()}


def useful(steps: list[Step], constructed: int, output: Any) -> list[Step]:
    """Without steps of the constructor (the first `constructed`) into memory that nothing reads afterwards: layers
    that are made only to take their weights draw others that nobody needs.
    """
    needed = {view["buffer"] for view in views_in(output)}
    kept = []
    for number, step in reversed(list(enumerate(steps))):
        if number >= constructed or step["kind"] == "launch" or written(step) & needed or not written(step):
            kept.append(step)
            needed |= read(step)
    return kept[::-1]
