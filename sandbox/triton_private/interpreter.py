"""Triton's private interfaces, interpreter half: clean kernel source becomes functions that run on a CPU.

Differs from Triton's own interpreter in what honest kernels need: bfloat16 arithmetic (Triton's computes with the bits
as integers), conversion to and from bfloat16 and float8 as on an NVIDIA GPU (Triton's truncates, and makes numbers of
infinities and NaN), TF32 matrix products (Triton's are float32), and libdevice functions (Triton's has none).
"""

import builtins
import functools
import importlib
import inspect
import linecache
from collections.abc import Callable, Collection, Sequence
from inspect import Parameter
from pathlib import Path
from typing import Any

import numpy as np
import triton
import triton.language as tl
from triton.language.extra.cuda import libdevice as cuda_libdevice
from triton.runtime import interpreter
from triton.runtime.interpreter import GridExecutor, InterpreterBuilder, TensorHandle

from sandbox.interpreting import libdevice
from sandbox.interpreting.compile_time import evaluated
from sandbox.kernels.language import BUILTINS, LIBDEVICE, LIBDEVICE_MODULES
from sandbox.triton_private.builder import KERNELS
from sandbox.triton_private.descriptors import mend_descriptors
from sandbox.triton_private.floats import (
    CONVERTED,
    NARROW,
    mend_products,
    rounded,
    saturated,
    single,
    truncated,
    widened,
)
from sandbox.triton_private.hints import mend_hints
from sandbox.triton_private.loops import counted
from sandbox.triton_private.older import mend_older
from sandbox.triton_private.order import mend_order
from sandbox.triton_private.python import OWN, helpers, mend_rewriter, rewritten
from sandbox.triton_private.reductions import mend_reductions
from sandbox.triton_private.undefined import mend_undefined, with_or_without_subnormals
from sandbox.triton_private.values import mend_constants

FILE = "kernels.py"


def interpreted(
    source: str, names: tuple[str, ...], aliases: dict[str, str], constants: dict[str, Any], renamed: dict[str, str],
    scratch: Path, compile_time: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Clean kernel source → launchable functions under Triton's interpreter. `TRITON_INTERPRET=1` must have been set
    before Triton was imported; builtins are those of `kernels.language` alone. `renamed`: further names of functions.
    """
    plain = {name: getattr(builtins, name) for name in BUILTINS}
    allowed = {**plain, **OWN}
    namespace: dict[str, Any] = {"__builtins__": allowed, "__name__": KERNELS, **constants, **helpers()}
    for name, target in aliases.items():
        namespace[name] = resolved(target)
    path = scratch / FILE
    source = rewritten(source, compile_time)
    path.write_text(source)
    linecache.checkcache(str(path))
    exec(compile(source, str(path), "exec"), namespace)  # clean source: see kernel_source
    found = {name: triton.jit(namespace[name]) for name in names}
    namespace.update(found, **{name: found[function] for name, function in renamed.items()})
    namespace.update(evaluated(compile_time, namespace, plain))
    return found


def launch(
    function: Any, grid: tuple[int, ...], arguments: dict[str, Any], fixed: Collection[str],
    turn: Callable[[Callable[[], None]], None],
) -> None:  # fmt: skip
    """Run a kernel that `interpreted` returned. `turn` is called as often as the grid has programs, with what runs the
    one whose index the interpreter's builder holds at that time.

    Args:
        fixed: arguments that are compile-time constants, declared so or not (an integer that is 1 is a tensor nowhere),
            and tuples, whose items are `converted` already where they are none.
    """
    executor = GridExecutor(_Turns(function.rewrite(), turn), function.arg_names, grid)
    executor.constexprs = [*executor.constexprs, *fixed]
    executor(**arguments)


def converted(value: Any) -> Any:
    """An argument as kernels get it: numbers and pointers are tensors."""
    return interpreter._implicit_cvt(value)


class _Turns:
    """Looks like a kernel function; leaves it to `turn` which program is run. Triton's interpreter gives all arguments
    by name, those of `*pointers` too.
    """

    def __init__(self, function: Any, turn: Callable[[Callable[[], None]], None]) -> None:
        functools.update_wrapper(self, function)
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        self.rest = next((p.name for p in parameters if p.kind is Parameter.VAR_POSITIONAL), "")
        self.leading = [p.name for p in parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD] if self.rest else []
        by_name = [p.replace(kind=Parameter.KEYWORD_ONLY) if p.name == self.rest else p for p in parameters]
        self.__signature__ = signature.replace(parameters=by_name)
        self.__globals__ = function.__globals__
        self.function, self.turn = function, turn

    def __call__(self, **arguments: Any) -> None:
        leading = [arguments.pop(name) for name in self.leading]
        rest = arguments.pop(self.rest, ())
        self.turn(lambda: self.function(*leading, *rest, **arguments))


def serve_programs() -> None:
    """For programs that launch kernels in Triton's own ways: autotuning, which needs a clock, takes the first
    configuration. For good, in this process.
    """
    from triton.runtime.autotuner import Autotuner

    Autotuner._bench = lambda self, *args, config, **meta: [1.0, 1.0, 1.0]


def runtime_number(value: int | float, kind: str) -> Any:
    """A number as kernels get it: a tensor of the type that Triton takes it for (`i64`, `u1`, `bf16`).

    Triton's interpreter hands over a Python float, which has neither a dtype nor methods, and integers by their size.
    """
    if kind == "bf16":
        return tl.tensor(rounded(TensorHandle(np.array([value], np.float32), tl.float32), tl.bfloat16), tl.bfloat16)
    dtype = tl.str_to_ty("fp32" if kind == "f32" else kind, None)
    with np.errstate(over="ignore"):
        return tl.tensor(TensorHandle(np.array([value], interpreter._get_np_dtype(dtype)), dtype), dtype)


def pointer(address: int, kind: str) -> Any:
    """A pointer as kernels get it, of the type that annotations may give it."""
    dtype = tl.str_to_ty(kind, None)
    return tl.tensor(TensorHandle(np.array([address], np.uint64), dtype), dtype)


@functools.cache
def mend_numbers() -> None:
    """Make the interpreter convert as the hardware does, and compute bfloat16 in float32, rounded once. For good."""
    cast, convert = InterpreterBuilder.cast_impl, InterpreterBuilder.create_fp_to_fp
    binary, unary = _of_bits(InterpreterBuilder.binary_op), InterpreterBuilder.unary_op
    ternary = InterpreterBuilder.ternary_op

    def widen(self: Any, handle: Any) -> Any:
        return self.cast_impl(handle, tl.float32) if handle.dtype.scalar == tl.bfloat16 else handle

    def narrow(self: Any, handle: Any) -> Any:
        compared = handle.data.dtype == np.bool_
        return TensorHandle(handle.data, tl.int1) if compared else self.cast_impl(handle, tl.bfloat16)

    def cast_impl(self: Any, src: Any, kind: Any) -> Any:
        if src.dtype.scalar == kind.scalar or not {src.dtype.scalar, kind.scalar} & NARROW.keys():
            return saturated(cast(self, src, kind), src)
        wide = widened(src) if src.dtype.scalar in NARROW else single(src)
        return rounded(wide, kind.scalar) if kind.scalar in NARROW else saturated(cast(self, wide, kind), wide)

    def create_fp_to_fp(self: Any, src: Any, kind: Any, rounding: Any) -> Any:
        if kind.scalar not in CONVERTED or src.dtype.scalar not in CONVERTED:
            return convert(self, src, kind, rounding)
        if "RTZ" not in str(rounding):
            return cast_impl(self, src, kind)
        if kind.scalar not in NARROW:
            return truncated(widened(src) if src.dtype.scalar in NARROW else src, cast_impl(self, src, kind))
        return rounded(cast_impl(self, src, tl.float32), kind.scalar, toward_zero=True)

    def binary_op(self: Any, lhs: Any, rhs: Any, op: Any) -> Any:
        if lhs.dtype.scalar != tl.bfloat16:
            return binary(self, lhs, rhs, op)
        return narrow(self, binary(self, widen(self, lhs), widen(self, rhs), op))

    def unary_op(self: Any, arg: Any, op: Any) -> Any:
        if arg.dtype.scalar != tl.bfloat16:
            return unary(self, arg, op)
        return narrow(self, unary(self, widen(self, arg), op))

    def ternary_op(self: Any, lhs: Any, rhs: Any, other: Any, op: Any) -> Any:
        if other.dtype.scalar != tl.bfloat16 or op is np.where:  # selecting bits needs no arithmetic
            return ternary(self, lhs, rhs, other, op)
        return narrow(self, ternary(self, widen(self, lhs), widen(self, rhs), widen(self, other), op))

    InterpreterBuilder.cast_impl = cast_impl
    InterpreterBuilder.create_fp_to_fp = create_fp_to_fp
    InterpreterBuilder.binary_op = binary_op
    InterpreterBuilder.unary_op = unary_op
    InterpreterBuilder.ternary_op = ternary_op
    mend_older()
    for name in ("create_fma", "create_rsqrt", "create_erf"):
        _widen_method(name, widen, narrow)
    mend_products()
    _mend_language()
    mend_descriptors()
    _mend_libraries()
    mend_reductions()
    mend_order()
    mend_rewriter()
    mend_undefined()
    mend_constants()


def _of_bits(binary: Any) -> Any:
    """Truths are integers of one bit; Triton 3.6 has them as NumPy's booleans."""

    def call(self: Any, lhs: Any, rhs: Any, op: Any) -> Any:
        if not lhs.data.dtype == rhs.data.dtype == np.bool_:
            return binary(self, lhs, rhs, op)
        made = op(lhs.data.astype(np.int8), rhs.data.astype(np.int8)) & 1
        return TensorHandle(made.astype(np.bool_), lhs.dtype.scalar)

    return call


def _mend_language() -> None:
    """Indices that NumPy 2.5 takes (Triton 3.6 makes them by `int()` of an array), loops as compiled kernels have
    them, and hints that are looked at; all that once a launch, not at every call of a device function. For good.
    """
    patch_tensor, patch_core = interpreter._patch_lang_tensor, interpreter._patch_lang_core
    patch = interpreter._patch_lang

    def patched_tensor(tensor: Any, scope: Any) -> None:
        patch_tensor(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    def patched_core(language: Any, scope: Any) -> None:
        patch_core(language, scope)
        scope.set_attr(language, "range", counted)
        mend_hints(language, scope)

    def patched(function: Any) -> Any:
        seen = [value.load for value in function.__globals__.values() if value is tl or value is tl.core]
        if seen and not any(map(tl.core.is_builtin, (*seen, tl.tensor.to))):
            return interpreter._LangPatchScope()
        return patch(function)

    interpreter._patch_lang_tensor, interpreter._patch_lang_core = patched_tensor, patched_core
    interpreter._patch_lang = patched


def _widen_method(name: str, widen: Any, narrow: Any) -> None:
    original = getattr(InterpreterBuilder, name)

    def method(self: Any, *handles: Any) -> Any:
        if handles[0].dtype.scalar != tl.bfloat16:
            return original(self, *handles)
        return narrow(self, original(self, *(widen(self, handle) for handle in handles)))

    setattr(InterpreterBuilder, name, method)


def resolved(target: str) -> Any:
    """`triton.language`, or `triton.language:exp`."""
    module, _, attribute = target.partition(":")
    found = importlib.import_module(module)
    if attribute == "libdevice":
        return importlib.import_module(f"{module}.libdevice")
    if not attribute:
        return found
    value = getattr(found, attribute)
    if not inspect.isfunction(value) and value not in (tl.range, tl.static_range):
        return value

    def late(*args: Any, **kwargs: Any) -> Any:
        """`from triton.language import exp`: the interpreter puts its own `exp` there while a kernel runs."""
        return getattr(found, attribute)(*args, **kwargs)

    return late


def _mend_libraries() -> None:
    """Library functions, of which Triton's interpreter has none, under each of their names. For good."""

    def call(self: Any, library: str, path: str, symbol: str, arguments: list[Any], result: Any, is_pure: bool) -> Any:
        kind = result.scalar
        number = np.dtype(interpreter._get_np_dtype(kind))
        arrays = [handle.data for handle in arguments]
        if symbol in libdevice.SAME_BITS:
            return TensorHandle(libdevice.compute(symbol, arrays, number), kind)
        made = with_or_without_subnormals(lambda *given: libdevice.compute(symbol, list(given), number), arrays)
        return TensorHandle(made, kind)

    InterpreterBuilder.create_extern_elementwise = call
    for module in map(importlib.import_module, LIBDEVICE_MODULES):
        for name in LIBDEVICE & vars(module).keys() & vars(cuda_libdevice).keys():
            function = functools.partial(getattr(cuda_libdevice, name), _semantic=interpreter.interpreter_semantic)
            setattr(module, name, function)
