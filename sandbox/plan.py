"""The plan: what a candidate wants done, as data. Everything in it is untrusted until `check` has passed it.

A plan lists buffers, steps over views of them, and which views are the outputs. A forged plan is pointless:
it only changes what gets replayed on inputs that its author has never seen.
"""

from math import isfinite, prod
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from sandbox.types import Policy, Record, Rejected

MAX_STEPS = 1024
MAX_BUFFERS = 1024
MAX_KERNELS = 64
MAX_RANK = 16
MAX_GRID = 2**31 - 1
DTYPES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2,
    "uint8": 1, "bool": 1, "complex64": 8,
}  # fmt: skip
"""Element sizes in bytes of the dtypes that may cross."""

Index = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=0, lt=2**48)]
Number = bool | int | float | Literal["float:inf", "float:-inf", "float:nan"]
"""JSON has no infinity and no NaN; see `encode_number`."""


class Plain(Record):
    """Record that also refuses silent conversions: `"3"` is not 3."""

    model_config = ConfigDict(strict=True)


class Buffer(Plain):
    """A piece of memory: an input of the case (`input` is its position), or scratch that the candidate allocated."""

    nbytes: Size
    input: Index | None = None


class View(Plain):
    """A strided tensor inside a buffer. Strides and offset are in elements."""

    buffer: Index
    dtype: str
    shape: list[Size]
    strides: list[Size]
    offset: Size

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * DTYPES[self.dtype]


class Pointer(Plain):
    kind: Literal["pointer"] = "pointer"
    view: View


class Scalar(Plain):
    """A run-time number, or a compile-time constant (`constexpr`)."""

    kind: Literal["scalar"] = "scalar"
    value: bool | int | float | str | None
    """Non-finite numbers as in `encode_number`."""
    constexpr: bool = False


class Symbol(Plain):
    """A compile-time constant that is no number: a jit function of the candidate, or a Triton dtype by name."""

    kind: Literal["function", "dtype"]
    name: str


class Descriptor(Plain):
    """A host-side tensor descriptor (TMA)."""

    kind: Literal["descriptor"] = "descriptor"
    view: View
    block_shape: list[Size]
    padding: str = "zero"


class Group(Plain):
    """A tuple argument."""

    kind: Literal["tuple"] = "tuple"
    items: "list[Argument]"


Argument = Annotated[Pointer | Scalar | Symbol | Descriptor | Group, Field(discriminator="kind")]


class Launch(Plain):
    kind: Literal["launch"] = "launch"
    kernel: Index
    grid: Annotated[list[Index], Field(min_length=3, max_length=3)]
    arguments: dict[str, Argument]


class Fill(Plain):
    kind: Literal["fill"] = "fill"
    target: View
    value: Number


class Copy(Plain):
    """Copy with conversion of dtype; shapes are equal."""

    kind: Literal["copy"] = "copy"
    target: View
    source: View


class Constant(Plain):
    """Small literal data that the candidate's Python wrote down, row-major."""

    kind: Literal["constant"] = "constant"
    target: View
    values: Annotated[list[Number], Field(max_length=4096)]


class TorchCall(Plain):
    """A torch operator outside the list above; recorded so that the rejection can name it."""

    kind: Literal["torch"] = "torch"
    name: str


Step = Annotated[Launch | Fill | Copy | Constant | TorchCall, Field(discriminator="kind")]


class KernelCode(Plain):
    """One specialisation of one jit function."""

    name: str
    """Name of the function in the candidate file."""
    line: Index
    """Where it begins there, decorators included."""
    ttir: str
    """Triton IR for `target`, or empty where the tracer was not asked for it."""
    options: dict[str, Number | None]
    """num_warps, num_stages, num_ctas, …"""
    constants: dict[str, Argument]
    """Module constants that the kernel reads, by name."""


class Plan(Plain):
    buffers: Annotated[list[Buffer], Field(max_length=MAX_BUFFERS)]
    kernels: Annotated[list[KernelCode], Field(max_length=MAX_KERNELS)]
    steps: Annotated[list[Step], Field(max_length=MAX_STEPS)]
    output: Any
    """Tree of outputs: `{"view": …}`, `{"tuple": […]}`, `{"list": […]}`, `{"dict": {…}}`."""


class OutputTree(Record):
    """The shape of the output structure, and its views in order."""

    structure: Any
    views: list[View]


def encode_number(value: Any) -> Any:
    """A number as JSON can carry it."""
    return f"float:{value}" if isinstance(value, float) and not isfinite(value) else value


def decode_number(value: bool | int | float | str) -> bool | int | float:
    """Inverse of `encode_number`."""
    return float(value.removeprefix("float:")) if isinstance(value, str) else value


def parse(data: Any) -> Plan | Rejected:
    """Untrusted JSON → plan."""
    try:
        return Plan.model_validate(data)
    except (ValidationError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "too deep"}
        where = ".".join(map(str, first["loc"]))
        return Rejected(stage="plan", reason=f"the traced plan is not well-formed: {where}: {first['msg']}"[:500])


def outputs(tree: Any, depth: int = 0) -> OutputTree:
    """Split an output tree into structure and views.

    Raises:
        ValueError: the tree holds something that is no tensor, tuple, list or dict.
    """
    if depth > 8 or not isinstance(tree, dict) or len(tree) != 1:
        raise ValueError("an output is neither a tensor nor a tuple, list or dict of tensors")
    ((kind, value),) = tree.items()
    if kind == "view":
        return OutputTree(structure="tensor", views=[View.model_validate(value)])
    if kind in ("tuple", "list") and isinstance(value, list):
        parts = [outputs(item, depth + 1) for item in value]
        return OutputTree(structure={kind: [p.structure for p in parts]}, views=[v for p in parts for v in p.views])
    if kind == "dict" and isinstance(value, dict):
        named = {str(key): outputs(item, depth + 1) for key, item in value.items()}
        views = [v for p in named.values() for v in p.views]
        return OutputTree(structure={"dict": {k: p.structure for k, p in named.items()}}, views=views)
    raise ValueError(f"an output of kind {kind!r} is no tensor")


def check(plan: Plan, input_nbytes: list[int], policy: Policy, arena_bytes: int) -> Rejected | OutputTree:
    """Caps, bounds, policy, and that every output is the candidate's own work."""
    try:
        tree = outputs(plan.output)
        _check_buffers(plan, input_nbytes, arena_bytes)
        for step in plan.steps:
            _check_step(plan, step, policy)
        for view in tree.views:
            _check_view(plan, view)
        _check_origin(plan, tree.views)
    except (ValueError, ValidationError) as error:
        return Rejected(stage="plan", reason=str(error)[:500])
    return tree


def views_of(argument: Argument) -> list[View]:
    """All views inside an argument."""
    if isinstance(argument, Pointer | Descriptor):
        return [argument.view]
    if isinstance(argument, Group):
        return [view for item in argument.items for view in views_of(item)]
    return []


def touched(launch: Launch) -> set[int]:
    """Buffers that a launch can reach."""
    return {view.buffer for argument in launch.arguments.values() for view in views_of(argument)}


def _check_buffers(plan: Plan, input_nbytes: list[int], arena_bytes: int) -> None:
    scratch = sum(buffer.nbytes for buffer in plan.buffers if buffer.input is None)
    if scratch + sum(input_nbytes) > arena_bytes:
        raise ValueError(f"allocations of {scratch} bytes exceed the case's limit of {arena_bytes} bytes")
    for buffer in plan.buffers:
        if buffer.input is None:
            continue
        if buffer.input >= len(input_nbytes) or buffer.nbytes != input_nbytes[buffer.input]:
            raise ValueError(f"buffer claims to be input {buffer.input}, which it is not")


def _check_view(plan: Plan, view: View) -> None:
    if view.dtype not in DTYPES:
        raise ValueError(f"dtype {view.dtype!r} is not supported")
    if view.buffer >= len(plan.buffers) or len(view.shape) != len(view.strides) or len(view.shape) > MAX_RANK:
        raise ValueError("a view refers to no buffer, or its rank does not fit")
    if prod(view.shape) == 0:
        return
    last = view.offset + sum((n - 1) * stride for n, stride in zip(view.shape, view.strides, strict=True))
    if (last + 1) * DTYPES[view.dtype] > plan.buffers[view.buffer].nbytes:
        raise ValueError("a view reaches past the end of its buffer")


def _check_step(plan: Plan, step: Step, policy: Policy) -> None:
    if isinstance(step, TorchCall):
        raise ValueError(
            f"torch operator {step.name} is not allowed under policy {policy}; write it as a Triton kernel"
        )
    if isinstance(step, Launch):
        if step.kernel >= len(plan.kernels):
            raise ValueError("a launch refers to no kernel")
        if prod(step.grid) > MAX_GRID:
            raise ValueError(f"grid {tuple(step.grid)} of kernel {plan.kernels[step.kernel].name} is too large")
        for argument in step.arguments.values():
            for view in views_of(argument):
                _check_view(plan, view)
        return
    for view in (step.target, step.source) if isinstance(step, Copy) else (step.target,):
        _check_view(plan, view)
    if plan.buffers[step.target.buffer].input is not None:
        raise ValueError("the candidate writes to one of its inputs")
    if isinstance(step, Copy) and step.target.shape != step.source.shape:
        raise ValueError("a copy between different shapes")
    if isinstance(step, Constant) and len(step.values) != prod(step.target.shape):
        raise ValueError("a constant of the wrong length")


def _check_origin(plan: Plan, outputs: list[View]) -> None:
    """Every output must come out of a launch: written by one, or copied from a buffer that one wrote."""
    if not any(isinstance(step, Launch) for step in plan.steps) and any(view.nbytes for view in outputs):
        raise ValueError("no Triton kernel is launched")
    own = {number for number, buffer in enumerate(plan.buffers) if buffer.input is None}
    written: set[int] = set()
    for step in plan.steps:
        if isinstance(step, Launch):
            written |= touched(step) & own
        elif isinstance(step, Copy) and step.source.buffer in written:
            written.add(step.target.buffer)
    for number, view in enumerate(outputs):
        if plan.buffers[view.buffer].input is not None:
            raise ValueError(f"output {number} is an input, not the candidate's own work")
        if view.buffer not in written and view.nbytes:
            raise ValueError(f"output {number} is not written by any Triton kernel")
