"""What names in a kernel's body stand for in the candidate's process, where Python has decided it. For the tracer."""

import ast
import inspect
import sys
from types import ModuleType, NoneType
from typing import Any

from sandbox.kernels.language import LANGUAGE_MODULES, LIBDEVICE_MODULES
from sandbox.kernels.syntax import walk
from sandbox.triton_private.trace import is_jit_function

MODULES = (*LANGUAGE_MODULES, *LIBDEVICE_MODULES)


def functions_in(value: Any) -> list[Any]:
    """The candidate's jit functions among the arguments of a launch, in tuples too."""
    value = getattr(value, "value", value) if type(value).__name__ == "constexpr" else value
    if isinstance(value, tuple | list):
        return [function for item in value for function in functions_in(item)]
    return [value] if is_jit_function(value) and _own(value) else []


def told(known: dict[str, Any], passed: list[Any]) -> dict[str, int | str]:
    """What names of functions stand for: a line of the file, or a dotted name of Triton's language. `known` is from
    `globals_of`; `passed` are further jit functions.
    """
    found: dict[str, int | str] = {n: path for n, value in known.items() if (path := of_language(value))}
    own = [function for value in [*known.values(), *passed] for function in functions_in(value)]
    return found | {function.fn.__name__: function.fn.__code__.co_firstlineno for function in own}


def of_language(value: Any) -> str:
    """`triton.language:exp`, or a module's name; empty for what is not of Triton's language."""
    name = getattr(value, "__name__", None)
    if isinstance(value, ModuleType):
        return value.__name__ if value.__name__ in MODULES else ""
    loaded = [module for module in MODULES if module in sys.modules]
    where = [module for module in loaded if isinstance(name, str) and vars(sys.modules[module]).get(name) is value]
    return f"{where[0]}:{name}" if where else ""


def globals_of(*functions: Any) -> dict[str, Any]:
    """Module and closure values that the bodies of jit functions may read, by name, callees included, with their
    defaults: a launch gives all arguments.

    Plain numbers are not among what bodies read: Triton refuses those that are no `tl.constexpr`.
    """
    found: dict[str, Any] = {}
    queue, seen = list(functions), set()
    while queue:
        current = queue.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        raw = current.fn
        visible = {**raw.__globals__, **inspect.getclosurevars(raw).nonlocals}
        if is_jit_function(current) and current not in functions:
            found.update({name: visible[name] for name in _names_in_defaults(current) if name in visible})
        for name in raw.__code__.co_names + raw.__code__.co_freevars:
            if name in visible and type(visible[name]) not in (bool, int, float, str, tuple, NoneType):
                found[name] = visible[name]
                called = is_jit_function(visible[name]) or type(visible[name]).__name__ == "ConstexprFunction"
                if called and _own(visible[name]):  # Triton's have other names, `math` for its own
                    queue.append(visible[name])
    return found


def _names_in_defaults(function: Any) -> set[str]:
    arguments = next(node for node in walk(function.parse()) if isinstance(node, ast.FunctionDef)).args
    defaults = [*arguments.defaults, *filter(None, arguments.kw_defaults)]
    return {node.id for default in defaults for node in walk(default) if isinstance(node, ast.Name)}


def _own(function: Any) -> bool:
    return not function.fn.__module__.startswith("triton.")
