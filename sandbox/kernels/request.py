"""What a launch needs compiled, as data: clean source, options, and of each argument only what Triton specialises on.

The supervisor's half of lowering; `sandbox.compiling.lowering` is the half that runs in the compile role. Arguments are
replaced by representatives (an unaligned pointer, a 32-bit integer divisible by 16, …), so that requests which must
compile to the same code are equal, and the child cannot depend on anything that is not part of the cache's key.
"""

import ast
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sandbox.kernels.records import Fields
from sandbox.kernels.source import KernelModule, build
from sandbox.kernels.text import KernelError
from sandbox.plans.plan import (
    DTYPES,
    MAX_KERNELS,
    Argument,
    Descriptor,
    Group,
    KernelCode,
    Launch,
    Number,
    Plan,
    Pointer,
    Scalar,
    Step,
    Symbol,
    View,
    views_of,
)
from sandbox.types import Record

MAX_WRITTEN = 1 << 20
"""Characters of all clean modules that are made of one candidate: some seconds."""
ALIGNMENT = 16
"""Bytes of a pointer, and the divisor of an integer, that Triton specialises on."""
FAR_BYTES = 2**31
"""Triton's AMD backend addresses smaller memory with 32 bits."""
_RANGES = ((-(2**31), 2**31, 32), (-(2**63), 2**63, 2**40), (2**63, 2**64, 2**63))
"""Integers of one type (i32, i64, u64), and one of them that 16 divides."""
_TRITON_NAMES = {"bool": "u1", "float8_e4m3fn": "fp8e4nv", "float8_e5m2": "fp8e5"}


class KernelRequest(Record):
    """One specialisation of one kernel."""

    name: str
    module: KernelModule
    constants: dict[str, Argument]
    """Module constants that the kernel reads."""
    options: dict[str, Number | None]
    arguments: dict[str, Argument]
    """All parameters in order of declaration, by representatives."""

    def identity(self) -> str:
        """Equal for equal code."""
        own = self.model_dump(exclude={"module"})
        return json.dumps([self.module.digest, own], allow_nan=False)  # escapes what is no valid Unicode


class Modules:
    """Clean modules of one candidate file, each made once."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree, self._fields = tree, Fields(tree)
        self._made: dict[tuple[Any, ...], KernelModule] = {}

    def requests(self, plan: Plan, shared: KernelModule | None = None) -> list[KernelRequest]:
        """One for each launch of a checked plan, in order.

        Args:
            shared: holds all kernels of the plan; without it each has a module of its own, so that equal ones are
                found again in other plans.

        Raises:
            KernelError: a kernel is not in the file, says something outside the language, or does not have the
                parameters that the launch claims.
        """
        told(plan)
        for constant in (value for kernel in plan.kernels for value in kernel.constants.values()):
            self._fields.check(constant)
        return [self._request(plan, step, shared) for step in plan.steps if isinstance(step, Launch)]

    def _request(self, plan: Plan, launch: Launch, shared: KernelModule | None) -> KernelRequest:
        kernel = plan.kernels[launch.kernel]
        for argument in launch.arguments.values():
            self._fields.check(argument)
        given = [*launch.arguments.values(), *kernel.constants.values()]
        passed = {name for argument in given for name in functions_of(argument)}
        launched = {kernel.name: kernel.line}
        module = shared or self.build(launched, set(kernel.constants), kernel.functions, passed)
        parameters = check_arguments(launch, kernel.name, module)
        return KernelRequest(
            name=kernel.name,
            module=module,
            constants={
                name: value for name, value in sorted(kernel.constants.items())
                if name not in module.aliases and name not in module.functions
            },
            options=dict(sorted(kernel.options.items())),
            arguments={
                name: representative(argument, plan, parameters[name] == "constexpr")
                for name, argument in launch.arguments.items()
            },
        )  # fmt: skip

    def build(
        self, launched: Mapping[str, int | None], constants: set[str], told: Mapping[str, int | str] | None = None,
        passed: Collection[str] = (),
    ) -> KernelModule:  # fmt: skip
        """`kernels.source.build` of this file.

        Raises:
            KernelError: as `build`, or so many different ones are asked for that all time goes into them.
        """
        named = (launched.items(), constants, (told or {}).items(), passed)
        key = tuple(tuple(sorted(part, key=str)) for part in named)
        if key not in self._made:
            if len(self._made) >= MAX_KERNELS:
                raise KernelError(f"more than {MAX_KERNELS} different sets of kernel functions and constants are used")
            self._made[key] = build(self._tree, launched, constants, told, passed)
            if sum(len(module.source) for module in self._made.values()) > MAX_WRITTEN:
                raise KernelError(f"the kernels have more than {MAX_WRITTEN} characters in all; shorten them")
        return self._made[key]


def told(plan: Plan) -> dict[str, int | str]:
    """What names stand for in the kernels of a plan, as `KernelCode.functions`.

    Raises:
        KernelError: it uses two of one name, which no module can hold.
    """
    found: dict[str, int | str] = {}
    for kernel in plan.kernels:
        for name, line in (*kernel.functions.items(), (kernel.name, kernel.line)):
            if found.setdefault(name, line) != line:
                raise KernelError(f"two functions named {name!r} are used; give each a name of its own")
    return found


def check_arguments(launch: Launch, name: str, module: KernelModule) -> dict[str, str]:
    """The parameters of the kernel `name`, with what their annotations say.

    Raises:
        KernelError: the launch has others, or a tensor for a compile-time constant: executed as Python, the kernel
            would have the tensor itself there and not a pointer to it.
    """
    parameters = module.signatures[name].parameters
    if list(launch.arguments) != list(parameters):
        raise KernelError(f"the launch of kernel {name!r} does not have the kernel's parameters")
    for parameter, argument in launch.arguments.items():
        if parameters[parameter] == "constexpr" and views_of(argument):
            raise KernelError(f"parameter {parameter!r} of kernel {name!r} is a tl.constexpr; no tensor can be one")
    return parameters


def representative(argument: Argument, plan: Plan, constant: bool) -> Argument:
    """The argument that stands for all that Triton compiles the same.

    Args:
        constant: the parameter is declared a compile-time constant.
    """
    if isinstance(argument, Pointer):
        unaligned = argument.view.offset * DTYPES[argument.view.dtype] % ALIGNMENT != 0
        far = plan.buffers[argument.view.buffer].nbytes >= FAR_BYTES
        shape = [FAR_BYTES] if far else [1]
        return Pointer(view=View(buffer=0, dtype=argument.view.dtype, shape=shape, strides=[1], offset=int(unaligned)))
    if isinstance(argument, Group):
        return Group(items=[representative(item, plan, constant) for item in argument.items])
    if isinstance(argument, Descriptor):
        rank = len(argument.block_shape)
        strides = [ALIGNMENT] * (rank - 1) + [1]
        view = View(buffer=0, dtype=argument.view.dtype, shape=[1] * rank, strides=strides, offset=0)
        return argument.model_copy(update={"view": view})
    if isinstance(argument, Scalar):
        return Scalar(value=argument.value, constexpr=True) if constant else _number(argument)
    return argument


def _number(argument: Scalar) -> Scalar:
    """A scalar where the parameter is not declared constant: `constexpr` says that the caller made it one himself."""
    value = argument.value
    if value is None or (type(value) is int and value == 1):
        return Scalar(value=value)
    if argument.constexpr or type(value) is bool:
        return Scalar(value=value, constexpr=argument.constexpr)
    if not isinstance(value, int):
        return Scalar(value=0.5)
    for low, high, aligned in _RANGES:
        if low <= value < high:
            return Scalar(value=aligned + (value % ALIGNMENT != 0))
    return Scalar(value=value)


def specialised(plan: Plan, keys: Iterable[str], signatures: Mapping[str, dict[str, Any]]) -> tuple[Plan, list[str]]:
    """The plan with what Triton's binder said of arguments in place of what the tracer claimed, and one kernel for each
    key; and those keys in order.

    Args:
        keys: one for each launch, in order.
        signatures: by key, Triton's type of every parameter, `constexpr`, or a list of them for a tuple.

    Raises:
        KernelError: too many different kernels.
    """
    numbers: dict[str, int] = {}
    kernels: list[KernelCode] = []
    steps: list[Step] = []
    following = iter(keys)
    for step in plan.steps:
        if isinstance(step, Launch):
            key = next(following)
            if key not in numbers:
                numbers[key] = len(kernels)
                kernels.append(plan.kernels[step.kernel].model_copy(update={"ttir": ""}))
            arguments = {name: _settled(item, signatures[key][name]) for name, item in step.arguments.items()}
            step = step.model_copy(update={"kernel": numbers[key], "arguments": arguments})
        steps.append(step)
    if len(kernels) > MAX_KERNELS:
        raise KernelError(f"the plan needs more than {MAX_KERNELS} different kernels")
    return plan.model_copy(update={"kernels": kernels, "steps": steps}), list(numbers)


def _settled(argument: Argument, kind: Any) -> Argument:
    if isinstance(argument, Scalar):
        constexpr = kind == "constexpr"
        return Scalar(value=argument.value, constexpr=constexpr, type="" if constexpr else str(kind))
    if isinstance(argument, Group):
        kinds = kind if isinstance(kind, list) else [kind] * len(argument.items)
        return Group(items=[_settled(item, k) for item, k in zip(argument.items, kinds, strict=True)])
    if isinstance(argument, Pointer):
        other = str(kind).startswith("*") and kind != f"*{_triton_name(argument.view.dtype)}"
        return Pointer(view=argument.view, type=str(kind) if other else "")
    return argument


def _triton_name(dtype: str) -> str:
    """`fp32` of `float32`."""
    if dtype in _TRITON_NAMES:
        return _TRITON_NAMES[dtype]
    return dtype.replace("bfloat", "bf").replace("float", "fp").replace("uint", "u").replace("int", "i")


def functions_of(argument: Argument) -> list[str]:
    """Kernel functions that an argument names."""
    if isinstance(argument, Group):
        return [name for item in argument.items for name in functions_of(item)]
    return [argument.name] if isinstance(argument, Symbol) and argument.kind == "function" else []


def functions_among(constants: Mapping[str, Argument]) -> dict[str, str]:
    """Module constants that are kernel functions under another name, with those functions' own names."""
    return {
        name: value.name for name, value in constants.items() if isinstance(value, Symbol) and value.kind == "function"
    }
