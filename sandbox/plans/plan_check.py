"""What a plan must satisfy before anything acts on it: caps, bounds, policy, and outputs that are the candidate's work.

Covered: every view lies inside its buffer, every number fits its type, only what the policy allows, inputs are written
to only where the task says so. Not covered, because only execution can tell: what kernels and torch operators do with
memory they were lent (guard bands and pristine copies of inputs), and whether what is computed is right.
"""

import re
from collections.abc import Iterable
from math import prod

from pydantic import ValidationError

from sandbox.plans.aten_names import allowed, is_random
from sandbox.plans.overlap import Overlaps, same_places
from sandbox.plans.plan import (
    DTYPES,
    FIRST_ADDRESS,
    MAX_RANK,
    Argument,
    Constant,
    Copy,
    Descriptor,
    DtypeArgument,
    Group,
    Launch,
    ListArgument,
    OutputTree,
    Plan,
    Scalar,
    Step,
    TorchArgument,
    TorchCall,
    ValueArgument,
    View,
    outputs,
    read_by,
    touched,
    views_of,
    written_by,
)
from sandbox.types import Policy, Rejected

MAX_GRID = (2**31 - 1, 65535, 65535)
"""What CUDA and HIP launch, by dimension; the product has the first as its limit."""
FLOAT_TYPES = frozenset(["fp16", "bf16", "fp32", "f32", "fp64"])
"""Triton's names for the types of floating-point arguments."""
INTEGER_TYPE = re.compile(r"([iu])(1|8|16|32|64)")
NON_FINITE = ("float:inf", "float:-inf", "float:nan")
TMA_RANK, TMA_BOX, TMA_ALIGNMENT = 5, 256, 16


def check(
    plan: Plan, input_nbytes: list[int], policy: Policy, arena_bytes: int, mutates: tuple[int, ...] = ()
) -> Rejected | OutputTree:
    """Args:
    input_nbytes: sizes of the case's tensor inputs, in order.
    arena_bytes: most that inputs and scratch may take together.
    mutates: positions of tensor inputs that the task wants changed in place and returned.
    """
    try:
        tree = outputs(plan.output)
        _check_buffers(plan, input_nbytes, arena_bytes)
        own = {n for n, buffer in enumerate(plan.buffers) if buffer.input is None or buffer.input in mutates}
        for kernel in plan.kernels:
            for name, constant in kernel.constants.items():
                if name.startswith("__"):  # whoever executes the kernel has names of his own
                    raise ValueError(f"no constant of a kernel may have a name like {name!r}")
                if views_of(constant):
                    raise ValueError(f"constant {name!r} of kernel {kernel.name} is a tensor; pass it as an argument")
        overlaps = Overlaps()
        for step in plan.steps:
            _check_step(plan, step, policy, own)
            if isinstance(step, Copy):
                _check_copy(step, overlaps)
        _check_views(plan, tree.views)
        _check_in_place(plan, tree.views, mutates)
        empty = bool(input_nbytes) and not any(input_nbytes)  # then nothing is left to do but to fill outputs
        _check_origin(plan, tree.views, "mixed" if empty else policy, own)
    except (ValueError, ValidationError) as error:
        return Rejected(stage="plan", reason=str(error)[:500])
    return tree


def _check_in_place(plan: Plan, views: list[View], mutates: tuple[int, ...]) -> None:
    """What the task wants changed in place is also returned, so it is compared there."""
    returned = {plan.buffers[view.buffer].input for view in views}
    for position in mutates:
        if position not in returned:
            raise ValueError(f"input {position} must be changed in place and returned; no output is that tensor")


def _check_buffers(plan: Plan, input_nbytes: list[int], arena_bytes: int) -> None:
    scratch = sum(buffer.nbytes for buffer in plan.buffers if buffer.input is None)
    if scratch + sum(input_nbytes) > arena_bytes:
        raise ValueError(f"allocations of {scratch} bytes exceed the case's limit of {arena_bytes} bytes")
    claimed = [buffer.input for buffer in plan.buffers if buffer.input is not None]
    if len(set(claimed)) != len(claimed):
        raise ValueError("two buffers claim to be the same input")
    for buffer in plan.buffers:
        if buffer.input is None:
            continue
        if buffer.input >= len(input_nbytes) or buffer.nbytes != input_nbytes[buffer.input]:
            raise ValueError(f"buffer claims to be input {buffer.input}, which it is not")


def _check_views(plan: Plan, views: Iterable[View]) -> None:
    for view in views:
        if view.dtype not in DTYPES:
            raise ValueError(f"dtype {view.dtype!r} is not supported")
        if view.buffer >= len(plan.buffers) or len(view.shape) != len(view.strides) or len(view.shape) > MAX_RANK:
            raise ValueError("a view refers to no buffer, or its rank does not fit")
        if prod(view.shape) == 0:
            continue
        last = view.offset + sum((n - 1) * stride for n, stride in zip(view.shape, view.strides, strict=True))
        if (last + 1) * DTYPES[view.dtype] > plan.buffers[view.buffer].nbytes:
            raise ValueError("a view reaches past the end of its buffer")


def _check_step(plan: Plan, step: Step, policy: Policy, own: set[int]) -> None:
    if isinstance(step, TorchCall):
        _check_torch(plan, step, policy)
        written = written_by(step)
    elif isinstance(step, Launch):
        _check_launch(plan, step)
        return
    else:
        written = [step.target]
        _check_views(plan, [step.target, step.source] if isinstance(step, Copy) else written)
    if any(view.buffer not in own for view in written):
        raise ValueError("the candidate writes to one of its inputs")
    if isinstance(step, Constant) and len(step.values) != prod(step.target.shape):
        raise ValueError("a constant of the wrong length")


def _check_copy(step: Copy, overlaps: Overlaps) -> None:
    """A GPU copies in no order."""
    target, source = step.target, step.source
    if target.shape != source.shape:
        raise ValueError("a copy between different shapes")
    if overlaps.overlaps_itself(target):
        raise ValueError("a copy writes to one place several times")
    if target.buffer == source.buffer and not same_places(target, source) and overlaps.overlap(target, source):
        raise ValueError("a copy reads what it overwrites; clone the source first")


def _check_addresses(plan: Plan) -> None:
    """Why a kernel may have written nothing: it got `x.data_ptr()`, a number to Triton."""
    for step in (step for step in plan.steps if isinstance(step, Launch)):
        for name, argument in step.arguments.items():
            if isinstance(argument, Scalar) and isinstance(argument.value, int) and argument.value >= FIRST_ADDRESS:
                where = f"argument {name!r} of kernel {plan.kernels[step.kernel].name}"
                raise ValueError(f"{where} is an address as a number; pass the tensor itself")


def _check_launch(plan: Plan, step: Launch) -> None:
    if step.kernel >= len(plan.kernels):
        raise ValueError("a launch refers to no kernel")
    name = plan.kernels[step.kernel].name
    if prod(step.grid) > MAX_GRID[0] or any(n > most for n, most in zip(step.grid, MAX_GRID, strict=True)):
        raise ValueError(f"grid {tuple(step.grid)} of kernel {name} is too large; the most is {MAX_GRID}")
    for parameter, argument in step.arguments.items():
        _check_views(plan, views_of(argument))
        _check_argument(argument, f"argument {parameter!r} of kernel {name}")


def _check_argument(argument: Argument, where: str) -> None:
    """Run-time numbers fit their types, and descriptors what the hardware takes."""
    if isinstance(argument, Group):
        for item in argument.items:
            _check_argument(item, where)
    elif isinstance(argument, Descriptor):
        _check_descriptor(argument, where)
    elif isinstance(argument, Scalar) and not argument.constexpr:
        _check_number(argument.value, where)
        integer = INTEGER_TYPE.fullmatch(argument.type)
        if integer and isinstance(argument.value, int):
            sign, bits = integer[1], int(integer[2])
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if sign == "i" and bits > 1 else (0, 2**bits)
            fits = low <= argument.value < high
        else:
            fits = argument.type in FLOAT_TYPES and argument.value is not None
        if not fits:
            raise ValueError(f"{where}: {argument.value!r} is no run-time number of type {argument.type!r}")


def _check_number(value: bool | int | float | str | None, where: str) -> None:
    if isinstance(value, str) and value not in NON_FINITE:
        raise ValueError(f"{where}: text cannot be passed at run time")


def _check_descriptor(descriptor: Descriptor, where: str) -> None:
    view, size = descriptor.view, DTYPES[descriptor.view.dtype]
    strides = view.strides[:-1]
    sound = (
        1 <= len(view.shape) <= TMA_RANK
        and len(descriptor.block_shape) == len(view.shape)
        and all(n > 0 for n in (*view.shape, *descriptor.block_shape))
        and view.strides[-1] == 1
        and all(stride * size % TMA_ALIGNMENT == 0 for stride in (view.offset, *strides))
    )
    if not sound:
        raise ValueError(
            f"{where}: a tensor descriptor needs 1 to {TMA_RANK} non-empty dimensions, a contiguous last one, and "
            f"base address and strides that are multiples of {TMA_ALIGNMENT} bytes"
        )
    if descriptor.round_to_tf32 and view.dtype != "float32":
        raise ValueError(f"{where}: only a float32 descriptor can round to TF32")


def _check_torch(plan: Plan, call: TorchCall, policy: Policy) -> None:
    if is_random(call.name):
        raise ValueError(
            f"torch operator {call.name} draws random numbers; a candidate must be a function of its inputs, and "
            "weights come from the reference"
        )
    if policy == "triton_only":
        raise ValueError(
            f"torch operator {call.name} is not allowed under policy {policy}; write it as a Triton kernel"
        )
    if not allowed(call.name, call.overload):
        name = f"{call.name}.{call.overload}" if call.overload else call.name
        raise ValueError(f"torch operator {name} is not among those that policy {policy} allows")
    if not call.results:
        raise ValueError(f"this use of torch operator {call.name} cannot be recorded; write it as a Triton kernel")
    _check_views(plan, read_by(call))
    _check_views(plan, call.results)
    for argument in (*call.arguments, *call.keywords.values()):
        _check_torch_argument(argument, call.name)


def _check_torch_argument(argument: TorchArgument, name: str) -> None:
    if isinstance(argument, ListArgument):
        for item in argument.items:
            _check_torch_argument(item, name)
    elif isinstance(argument, DtypeArgument) and argument.name not in DTYPES:
        raise ValueError(f"torch operator {name}: dtype {argument.name!r} is not supported")
    elif isinstance(argument, ValueArgument):
        value = argument.value
        if isinstance(value, str) and value.startswith("float:") and value not in NON_FINITE:
            raise ValueError(f"torch operator {name}: {value!r} is no number")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"torch operator {name}: {value} does not fit 64 bits")


def _check_origin(plan: Plan, outputs: list[View], policy: Policy, own: set[int]) -> None:
    """Every output must come out of work: a launch, a copy of what one wrote; under `mixed` any step."""
    launched = any(isinstance(step, Launch) for step in plan.steps)
    if policy == "triton_only" and not launched and any(view.nbytes for view in outputs):
        raise ValueError("no Triton kernel is launched")
    written: set[int] = set()
    for step in plan.steps:
        if isinstance(step, Launch):
            written |= touched(step) & own
        elif isinstance(step, TorchCall):
            written |= {view.buffer for view in step.results}
        elif policy == "mixed" or (isinstance(step, Copy) and step.source.buffer in written):
            written.add(step.target.buffer)
    for number, view in enumerate(outputs):
        if view.buffer not in own:
            raise ValueError(f"output {number} is an input, not the candidate's own work")
        if plan.buffers[view.buffer].kept and view.nbytes:
            raise ValueError(
                f"output {number} lies in memory that is kept from an earlier call, whose result is overwritten so; "
                "allocate it in every call"
            )
        if view.buffer not in written and view.nbytes:
            _check_addresses(plan)
            by = "any Triton kernel" if policy == "triton_only" else "anything"
            raise ValueError(f"output {number} is not written by {by}")
