"""A checked kernel function as text, for whoever executes or compiles it: what was checked, and nothing else."""

import ast
import copy

from sandbox.kernels.syntax import parsed

Function = ast.FunctionDef
MAX_CHARS = 1 << 20
"""Statements that stood in one line get lines and indentation of their own: a deep block may grow a hundredfold."""


class KernelError(ValueError):
    """A kernel says something outside the language; the message names it."""


def written(function: Function) -> str:
    """Source of a function that `kernels.source.check` has passed, without decorators and foreign annotations.

    Raises:
        KernelError: it has no text that says just that. `ast.unparse` alone makes other programs of some: braces in an
            f-string's format specification become code.
    """
    try:
        clean = _cleaned(function)
        text = ast.unparse(clean)
        if len(text) > MAX_CHARS:
            raise KernelError(f"kernel {function.name} is longer than {MAX_CHARS} characters when written out")
        again = ast.dump(parsed(text).body[0])
    except (ValueError, SyntaxError) as error:
        raise KernelError(f"kernel {function.name} cannot be written out again: {error}") from error
    if again != ast.dump(clean):
        raise KernelError(f"kernel {function.name} cannot be written out again; simplify its f-strings")
    return text


def _cleaned(function: Function) -> Function:
    """Without decorators and foreign annotations; `tl.constexpr` stays, the interpreter needs it."""
    clean = copy.copy(function)
    clean.decorator_list, clean.returns = [], None
    if getattr(clean, "type_params", []):  # Python 3.12
        raise KernelError(f"kernel {function.name}: type parameters are not part of Triton's language")
    clean.args = arguments = copy.copy(function.args)
    for kind in ("posonlyargs", "args", "kwonlyargs"):
        setattr(arguments, kind, [_annotated(argument) for argument in getattr(arguments, kind)])
    for kind in ("vararg", "kwarg"):
        if rest := getattr(arguments, kind):
            setattr(arguments, kind, ast.arg(rest.arg))
    return clean


def _annotated(argument: ast.arg) -> ast.arg:
    text = ast.unparse(argument.annotation).strip("'\"") if argument.annotation else ""
    constexpr = ast.Attribute(ast.Name("tl", ast.Load()), "constexpr", ast.Load())
    return ast.arg(argument.arg, constexpr if text.split(".")[-1] == "constexpr" else None)
