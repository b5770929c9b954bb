"""The plan: what a candidate wants done, as data. Everything in it is untrusted until `plan_check` has passed it.

A plan lists buffers, steps over views of them, and which views are the outputs. A forged plan is pointless:
it only changes what gets replayed on inputs that its author has never seen.
"""

from math import isfinite, prod
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from sandbox.kernels.language import LANGUAGE, LANGUAGE_MODULES, LIBDEVICE, LIBDEVICE_MODULES
from sandbox.plans.aten_names import HIDDEN_WRITES
from sandbox.types import Record, Rejected

MAX_STEPS = 1024
MAX_BUFFERS = 4096
MAX_KERNELS = 64
MAX_CONSTANT = 4096
MAX_RANK = 16
FIRST_ADDRESS = 1 << 40
"""Where memory begins, as host code is told; aligned as the CUDA allocator aligns."""
MAX_VARIANTS = 16  # of one autotuned kernel are tried
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
    kept: bool = False  # allocated by an earlier call


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
    type: str = ""  # as Triton takes it, where the tensor has another: `*i32`, `*kfp32` if const


class Scalar(Plain):
    """A run-time number, or a compile-time constant (`constexpr`)."""

    kind: Literal["scalar"] = "scalar"
    value: bool | int | float | str | None
    """Non-finite numbers as in `encode_number`."""
    constexpr: bool = False
    """The compiler has it already: declared so, None, or an integer that was specialised to 1."""
    type: str = ""
    """Triton's name for the type of a run-time number (`i32`, `u1`, `fp32`, …); empty for a constant."""


class Symbol(Plain):
    """No number: a jit function of the candidate, a Triton dtype, or a function of its language (`module:exp`)."""

    kind: Literal["function", "dtype", "language"]
    name: str

    @model_validator(mode="after")
    def _is_public(self) -> Self:
        """Whoever reads a plan resolves such names; what waits is told from the source: no atomics, no assertions."""
        if self.kind == "language":
            module, _, name = self.name.partition(":")
            public = LIBDEVICE if module in LIBDEVICE_MODULES else LANGUAGE if module in LANGUAGE_MODULES else ()
            if name not in public or name in ("math", "static_assert") or name.startswith("atomic_"):
                raise ValueError(f"{self.name} may not be passed to a kernel")
        return self


class Descriptor(Plain):
    """A host-side tensor descriptor (TMA)."""

    kind: Literal["descriptor"] = "descriptor"
    view: View
    block_shape: list[Size]
    padding: Literal["zero", "nan"] = "zero"
    round_to_tf32: bool = False


class Group(Plain):
    """A tuple argument, with its fields' names if it is a named one."""

    kind: Literal["tuple"] = "tuple"
    items: "list[Argument]"
    fields: list[str] = Field(default_factory=list)


Argument = Annotated[Pointer | Scalar | Symbol | Descriptor | Group, Field(discriminator="kind")]


class Launch(Plain):
    kind: Literal["launch"] = "launch"
    kernel: Index
    grid: Annotated[list[Index], Field(min_length=3, max_length=3)]
    arguments: dict[str, Argument]
    """All parameters in order of declaration, compile-time ones included."""


class Setting(Plain):
    kept: bool = False  # gives kept memory its first content, as an earlier call did: this one does not


class Fill(Setting):
    kind: Literal["fill"] = "fill"
    target: View
    value: Number


class Copy(Setting):
    """Copy with conversion of dtype; shapes are equal."""

    kind: Literal["copy"] = "copy"
    target: View
    source: View


class Constant(Setting):
    """Small literal data that the candidate's Python wrote down, row-major."""

    kind: Literal["constant"] = "constant"
    target: View
    values: Annotated[list[Number], Field(max_length=MAX_CONSTANT)]


class TensorArgument(Plain):
    kind: Literal["tensor"] = "tensor"
    view: View


class ValueArgument(Plain):
    kind: Literal["value"] = "value"
    value: bool | int | float | str | None  # non-finite ones as in `encode_number`


class DtypeArgument(Plain):
    kind: Literal["dtype"] = "dtype"
    name: str  # one of `DTYPES`


class ListArgument(Plain):
    kind: Literal["list"] = "list"
    items: "list[TorchArgument]"


TorchArgument = Annotated[TensorArgument | ValueArgument | DtypeArgument | ListArgument, Field(discriminator="kind")]


class TorchCall(Setting):
    """One torch operator, as its schema has it. Device, layout and memory format are not arguments: results have their
    memory and strides already. A call that cannot be written so has its name alone and never passes the check.
    """

    kind: Literal["torch"] = "torch"
    name: str  # `aten::mm`
    overload: str = ""  # or `Tensor`, `dim_IntList`, …
    arguments: list[TorchArgument] = Field(default_factory=list)
    keywords: dict[str, TorchArgument] = Field(default_factory=dict)
    results: list[View] = Field(default_factory=list)
    """One a returned tensor, in order. What an in-place operator returns is a view of the buffer that it changes."""


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
    functions: dict[str, Index | str] = Field(default_factory=dict)
    """What its names for functions stand for: a line of the file, or a name of Triton's as `KernelModule.aliases`."""


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
        named = {key: outputs(item, depth + 1) for key, item in sorted(value.items())}  # as `reference.leaves`
        views = [v for p in named.values() for v in p.views]
        return OutputTree(structure={"dict": {k: p.structure for k, p in named.items()}}, views=views)
    raise ValueError(f"an output of kind {kind!r} is no tensor")


def views_of(argument: Argument) -> list[View]:
    """All views inside an argument."""
    if isinstance(argument, Pointer | Descriptor):
        return [argument.view]
    if isinstance(argument, Group):
        return [view for item in argument.items for view in views_of(item)]
    return []


def tensors_of(argument: TorchArgument) -> list[View]:
    """All views inside an argument of a torch operator."""
    if isinstance(argument, TensorArgument):
        return [argument.view]
    return [view for item in argument.items for view in tensors_of(item)] if isinstance(argument, ListArgument) else []


def read_by(call: TorchCall) -> list[View]:
    """Views that a torch operator gets."""
    return [view for argument in (*call.arguments, *call.keywords.values()) for view in tensors_of(argument)]


def written_by(call: TorchCall) -> list[View]:
    """Views that a torch operator writes to."""
    hidden, flag = HIDDEN_WRITES.get(call.name, ((), 0))
    idle = call.arguments[flag : flag + 1] == [ValueArgument(value=False)]
    changed = [argument for n, argument in enumerate(call.arguments) if n in hidden and not idle]
    return [*call.results, *(view for argument in changed for view in tensors_of(argument))]


def touched(launch: Launch) -> set[int]:
    """Buffers that a launch can reach."""
    return {view.buffer for argument in launch.arguments.values() for view in views_of(argument)}
