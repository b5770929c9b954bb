"""Clean kernel source → Triton IR, by Triton itself, in the compile role's isolated child.

Nothing that the tracer says of generated code is believed: kernels come from `kernels.source`, arguments from the plan
(by representatives, see `kernels.request`), and Triton binds, types and specialises them here. No candidate host code
is run. What the frontend evaluates at compile time is the closed language with the builtins of `kernels.language`.
"""

import builtins
import importlib
import linecache
import re
import traceback
from collections.abc import Sequence
from inspect import Parameter
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from triton.compiler.errors import CompilationError, CompileTimeAssertionFailure
from triton.tools.tensor_descriptor import TensorDescriptor

from sandbox.kernels.language import BUILTINS
from sandbox.kernels.request import KernelRequest, functions_among
from sandbox.kernels.source import KernelModule
from sandbox.plans.plan import FIRST_ADDRESS, Argument, Descriptor, Group, Pointer, Scalar, View, decode_number
from sandbox.triton_private import errors as triton_errors
from sandbox.triton_private import trace as triton_trace
from sandbox.triton_private.device import DEVICE
from sandbox.triton_private.frontend import mend_frontend
from sandbox.triton_private.trace import RecordedLaunch
from sandbox.types import Target

MODULE_NAME = "candidate"
MAX_REASON = 400
MAX_LOG = 4000
_IMPOSSIBLE = re.compile(
    r"\b(?:arith\.(?:(?:add|sub|mul|div|rem|neg|cmp)f|(?:min|max)(?:num|imum)f)|tt\.clampf|math\.(?!absf)\w+) .*[ x]f8E"
    r"|\btt\.(?:reduce|scan)\.return .*\bf8E"
    r"|\btt\.fp_to_fp .*\bf64\b|\btt\.fp_to_fp .*[ x]f64>|\btt\.fp_to_fp .*[ x]f8E\w+>? -> (?:.*x)?f8E"
    r"|\btt\.fp_to_fp .*= rtz : (?!\S*f32>? -> \S*f8E5M2\b).*f8E"
    r"|\btt\.histogram .*xi(?!32)\d+> .*-> "
)
"""What Triton lowers and can compile for no GPU: arithmetic, reductions and scans of float8, conversions between its
formats, from it to float64 and back or from float64 toward zero, to it toward zero but from float32 to float8e5,
histograms of other than 32 bits."""
_NOT_IMITATED = "tt.elementwise_inline_asm"
"""By which Triton makes and reads float8e4b15: PyTorch has it not, and a GPU rounds it in a way of its own."""


class LoweringError(Exception):
    """The kernel is no valid Triton, or does not take its arguments: the candidate's fault."""

    def __init__(self, reason: str, log: str, unfit: bool = False) -> None:
        """`unfit`: an assertion of the kernel's about its constants; an autotuner passes over such a configuration."""
        super().__init__(reason)
        self.reason, self.log, self.unfit = reason, log, unfit

    def reply(self) -> dict[str, Any]:
        """For the supervisor."""
        return {"rejected": {"stage": "compile", "reason": self.reason, "log": self.log, "unfit": self.unfit}}


class Lowered(NamedTuple):
    """One kernel, ready to be compiled."""

    ttir: str
    options: dict[str, Any]
    signature: dict[str, Any]
    """Triton's type of every parameter: `i32`, `*fp32`, `constexpr`, …, or a list of them for a tuple."""


def lower(requests: Sequence[KernelRequest], target: Target, scratch: Path) -> list[Lowered]:
    """One for each request, in order. From now on this process records launches instead of compiling. For good.

    Raises:
        LoweringError: Triton refuses a kernel; the reason is Triton's own.
    """
    recorded: list[RecordedLaunch] = []
    mend_frontend()
    triton_trace.record_launches(target, DEVICE, recorded.append)
    loaded: dict[str, dict[str, Any]] = {}
    found = []
    for request in requests:
        try:
            identity = KernelRequest.identity(request.model_copy(update={"name": "", "options": {}, "arguments": {}}))
            if identity not in loaded:
                loaded[identity] = load(request.module, request.constants, scratch / f"module{len(loaded)}.py")
            _launch(request, loaded[identity])
        except Exception as error:  # the frontend runs the candidate's source, and may raise anything over it
            raise _refused(request.name, error) from error
        launch = recorded.pop()
        _check_possible(request.name, launch.ttir)
        kinds = {name: _listed(kind) for name, kind in launch.signature.items()}
        options = {name: value for name, value in launch.options.items() if name in triton_trace.KEPT_OPTIONS}
        found.append(Lowered(launch.ttir, options, kinds))
    return found


def load(module: KernelModule, constants: dict[str, Argument], path: Path) -> dict[str, Any]:
    """The module's jit functions among its names. `path` is where to write it: Triton reads source lines."""
    allowed = {name: getattr(builtins, name) for name in BUILTINS}
    namespace: dict[str, Any] = {"__builtins__": allowed, "__name__": MODULE_NAME}
    namespace |= {name: _resolve(target) for name, target in module.aliases.items()}
    renamed = functions_among(constants)
    namespace |= {name: _constant(value) for name, value in constants.items() if name not in renamed}
    path.write_text(module.source)
    linecache.checkcache(str(path))
    exec(compile(module.source, str(path), "exec"), namespace)  # clean source: see kernel_source
    for name in module.functions:
        signature = module.signatures[name]
        function = namespace[name]
        function.__annotations__ = {parameter: kind for parameter, kind in signature.parameters.items() if kind}
        namespace[name] = triton.jit(
            function,
            do_not_specialize=signature.do_not_specialize,
            do_not_specialize_on_alignment=signature.do_not_specialize_on_alignment,
            noinline=signature.noinline,
        )
    namespace |= {name: triton.constexpr_function(namespace[name]) for name in module.compile_time}
    namespace |= {name: namespace[function] for name, function in renamed.items()}
    return namespace


class _Memory:
    """What Triton asks of a tensor."""

    def __init__(self, view: View) -> None:
        self.dtype = getattr(torch, view.dtype)
        self._offset: int = view.offset * self.dtype.itemsize
        self._nbytes = view.nbytes

    def data_ptr(self) -> int:
        return FIRST_ADDRESS + self._offset

    def ptr_range(self) -> int:
        return self._nbytes


def _launch(request: KernelRequest, module: dict[str, Any]) -> None:
    function = module[request.name]
    parameters = function.signature.parameters
    by_name = bool(parameters.keys() & request.options.keys())  # a parameter named as an option (num_warps) is both
    positional: list[Any] = []
    keywords: dict[str, Any] = dict(request.options)
    for name, parameter in parameters.items():
        constant = request.module.signatures[request.name].parameters[name] == "constexpr"
        value = _value(request.arguments[name], module, constant)
        if parameter.kind is Parameter.VAR_POSITIONAL:
            positional += value
        elif by_name or parameter.kind is Parameter.KEYWORD_ONLY:
            keywords[name] = value
        else:
            positional.append(value)
    function[(1, 1, 1)](*positional, **keywords)


def _value(argument: Argument, module: dict[str, Any], constant: bool) -> Any:
    if isinstance(argument, Pointer):
        return _Memory(argument.view)
    if isinstance(argument, Scalar):
        value = _plain(argument)
        return tl.constexpr(value) if argument.constexpr and not constant else value
    if isinstance(argument, Group):
        return tuple(_value(item, module, constant) for item in argument.items)
    if isinstance(argument, Descriptor):
        view = argument.view
        given: dict[str, Any] = {}
        if argument.padding != "zero":
            given["padding"] = argument.padding
        if argument.round_to_tf32:  # Triton 3.9
            given["round_f32_to_tf32"] = True
        return TensorDescriptor(_Memory(view), view.shape, view.strides, argument.block_shape, **given)
    if argument.kind == "language":
        return _resolve(argument.name)
    return tl.dtype(argument.name) if argument.kind == "dtype" else module[argument.name]


def _constant(argument: Argument) -> Any:
    """A module constant; Triton refuses those that were no `tl.constexpr`."""
    scalars = argument.items if isinstance(argument, Group) else [argument]
    wrapped = all(isinstance(item, Scalar) and item.constexpr for item in scalars)
    if isinstance(argument, Group):
        value = tuple(_plain(item) if isinstance(item, Scalar) else _value(item, {}, True) for item in scalars)
        return tl.constexpr(value) if wrapped else value
    value = _value(argument, {}, True)
    return tl.constexpr(value) if wrapped else value


def _plain(argument: Scalar) -> Any:
    value = argument.value
    return decode_number(value) if isinstance(value, str) and value.startswith("float:") else value


def _resolve(target: str) -> Any:
    """`triton.language`, or `triton.language:exp`."""
    module, _, attribute = target.partition(":")
    if not attribute:
        return importlib.import_module(module)
    found = importlib.import_module(module)
    return getattr(found, attribute) if hasattr(found, attribute) else importlib.import_module(f"{module}.{attribute}")


def _listed(kind: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    return [_listed(item) for item in kind] if isinstance(kind, tuple | list) else str(kind)


def _check_possible(name: str, ttir: str) -> None:
    """Raises:
    LoweringError: the kernel does what Triton lowers and can compile for no GPU, or has numbers of a format that is
        not imitated.
    """
    if found := _IMPOSSIBLE.search(ttir):
        said = f"{found[0].split()[0]} of these types cannot be compiled; convert to another type, through float32"
        raise LoweringError(f"kernel {name}: {said}"[:MAX_REASON], "")
    if _NOT_IMITATED in ttir:
        raise LoweringError(f"kernel {name}: there is no float8e4b15 here; use float8e4nv or float8e5"[:MAX_REASON], "")


def _refused(name: str, error: Exception) -> LoweringError:
    text = "".join(traceback.format_exception(error, limit=-8))
    said = triton_errors.describe(error) if isinstance(error, CompilationError) else f"{type(error).__name__}: {error}"
    reason = f"kernel {name}: {said}"
    unfit = isinstance(error, CompileTimeAssertionFailure)
    return LoweringError(_valid(reason[:MAX_REASON]), _valid(text[-MAX_LOG:]), unfit)


def _valid(text: str) -> str:
    return text.encode(errors="replace").decode()
