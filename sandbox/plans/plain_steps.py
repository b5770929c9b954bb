"""Torch operators that only put data together, as the copies and constants that they are: `triton_only` has no others.

Nothing here trusts a plan: what comes out is checked as if the candidate had said it so, and what makes no sense stays.
"""

from collections.abc import Sequence

from sandbox.plans.plan import (
    MAX_CONSTANT,
    MAX_STEPS,
    Constant,
    Copy,
    Fill,
    ListArgument,
    Plan,
    Step,
    TensorArgument,
    TorchArgument,
    TorchCall,
    ValueArgument,
    View,
)
from sandbox.types import Policy

MAX_COUNTED = 1 << 16
"""Numbers that a plan may have, written down or counted, for another range to be put into it."""


def plainly(plan: Plan, policy: Policy) -> Plan:
    """Under `triton_only`, the plan without `torch.cat`, `torch.stack`, `Tensor.repeat`, padding by one value and short
    `torch.arange`; `mixed` replays them as they are, which is faster.
    """
    if policy == "mixed":
        return plan
    steps: list[Step] = []
    room = MAX_COUNTED
    for step in plan.steps:
        plain = _plain(step, room) if isinstance(step, TorchCall) else [step]
        if isinstance(step, TorchCall) and step.kept:
            plain = [one.model_copy(update={"kept": True}) for one in plain]
        room -= sum(len(one.values) for one in plain if isinstance(one, Constant))
        steps += plain
    return plan.model_copy(update={"steps": steps}) if len(steps) <= MAX_STEPS else plan


def _plain(call: TorchCall, room: int) -> Sequence[Step]:
    found: Sequence[Step] = []
    if len(call.results) == 1 and call.arguments:
        (result,) = call.results
        if call.name in ("aten::cat", "aten::stack") and not call.overload:
            found = _joined(call, result, stacked=call.name == "aten::stack")
        elif call.name == "aten::constant_pad_nd" and len(call.arguments) in (2, 3) and not call.keywords:
            found = _padded(call.arguments, result)
        elif call.name == "aten::repeat" and len(call.arguments) == 2 and not call.keywords:
            found = _repeated(call.arguments, result)
        elif call.name == "aten::arange" and call.overload in ("", "start", "start_step"):
            found = _counted(call.arguments, result, min(room, MAX_CONSTANT))
    return found or [call]


def _joined(call: TorchCall, result: View, stacked: bool) -> list[Copy]:
    """One copy a piece; none if the pieces do not make up the result."""
    pieces, *rest = call.arguments
    dim = rest[0].value if rest and isinstance(rest[0], ValueArgument) else 0
    rank = len(result.shape)
    if not isinstance(pieces, ListArgument) or type(dim) is not int or not -rank <= dim < rank == len(result.strides):
        return []
    dim, first, copies = dim % rank, 0, []
    for piece in pieces.items:
        if not isinstance(piece, TensorArgument):
            return []
        source = _unsqueezed(piece.view, dim) if stacked else piece.view
        if source.shape == [0]:
            continue  # torch.cat takes those for nothing, whatever the others' rank
        others = [*result.shape[:dim], *result.shape[dim + 1 :]]
        if len(source.shape) != rank or [*source.shape[:dim], *source.shape[dim + 1 :]] != others:
            return []
        place = {"shape": source.shape, "offset": result.offset + first * result.strides[dim]}
        copies.append(Copy(target=result.model_copy(update=place), source=source))
        first += source.shape[dim]
    return copies if first == result.shape[dim] else []


def _padded(arguments: list[TorchArgument], result: View) -> list[Fill | Copy]:
    """The value all over, and the tensor into its middle; none if that is not what the result's shape says."""
    source, widths, value = arguments if len(arguments) == 3 else [*arguments, ValueArgument(value=0)]
    if not isinstance(source, TensorArgument) or not isinstance(widths, ListArgument):
        return []
    around = [width for item in widths.items if type(width := getattr(item, "value", None)) is int and width >= 0]
    rank, pairs = len(result.shape), [*zip(around[-2::-2], around[::-2], strict=False)]
    if len(around) != len(widths.items) or len(around) != 2 * len(pairs) or not isinstance(value, ValueArgument):
        return []
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs
    if not rank == len(pairs) == len(source.view.shape) == len(result.strides) or not _is_number(value.value):
        return []
    sizes = zip(pairs, source.view.shape, strict=True)
    if result.shape != [before + size + after for (before, after), size in sizes]:
        return []
    places = zip(pairs, result.strides, strict=True)
    first = result.offset + sum(before * stride for (before, _), stride in places)
    middle = result.model_copy(update={"shape": source.view.shape, "offset": first})
    return [Fill.model_validate({"target": result, "value": value.value}), Copy(target=middle, source=source.view)]


def _repeated(arguments: list[TorchArgument], result: View) -> list[Copy]:
    """One copy, each dimension as two, of which the first one repeats; none if the result's shape says otherwise."""
    source, repeats = arguments
    if not isinstance(source, TensorArgument) or not isinstance(repeats, ListArgument):
        return []
    times = [count for item in repeats.items if type(count := getattr(item, "value", None)) is int and count >= 1]
    rank, more = len(result.shape), len(result.shape) - len(source.view.shape)
    if not len(times) == len(repeats.items) == rank == len(result.strides) or more < 0:
        return []
    sizes, strides = [1] * more + source.view.shape, [0] * more + source.view.strides
    if result.shape != [count * size for count, size in zip(times, sizes, strict=True)]:
        return []
    shape = [extent for pair in zip(times, sizes, strict=True) for extent in pair]
    steps = zip(sizes, result.strides, strict=True)
    target = {"shape": shape, "strides": [step for size, stride in steps for step in (size * stride, stride)]}
    given = {"shape": shape, "strides": [step for stride in strides for step in (0, stride)]}
    return [Copy(target=result.model_copy(update=target), source=source.view.model_copy(update=given))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or value in ("float:inf", "float:-inf", "float:nan")


def _unsqueezed(view: View, dim: int) -> View:
    shape = [*view.shape[:dim], 1, *view.shape[dim:]]
    return view.model_copy(update={"shape": shape, "strides": [*view.strides[:dim], 1, *view.strides[dim:]]})


def _counted(arguments: list[TorchArgument], result: View, room: int) -> list[Constant]:
    """The numbers of a range, if there are no more than `room`."""
    given = [a.value for a in arguments if isinstance(a, ValueArgument)]
    numbers = [value for value in given if isinstance(value, int | float) and abs(value) < 2**63]
    fits = len(numbers) == len(arguments) <= 3 and len(result.shape) == 1 and result.shape[0] <= room
    if not fits or not (all(isinstance(number, int) for number in numbers) or "float" in result.dtype):
        return []
    first, step = (numbers[0] if len(numbers) > 1 else 0), (numbers[2] if len(numbers) > 2 else 1)
    return [Constant(target=result, values=[first + place * step for place in range(result.shape[0])])]
