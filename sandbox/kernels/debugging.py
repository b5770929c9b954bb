"""Takes out of kernels what says nothing to Triton: types of local variables, and what only serves debugging. Without
`debug=True`, which the tracer refuses, a device assert does nothing, and a static print speaks to an author who
compiles. Printing from the device is work, and is refused.

What may not be compiled becomes an assertion that fails where it is: an exception (in a function that Python evaluates,
one that fails where it stands) and, in branches, what uses functions that kernels here do not have. Such branches are
for another GPU, another version or for debugging, and constants switch them off.
"""

import ast
from collections.abc import Mapping

from sandbox.kernels.functions import at_compile_time
from sandbox.kernels.scopes import bound
from sandbox.kernels.signature import path_of
from sandbox.kernels.source import check_dotted
from sandbox.kernels.syntax import walk
from sandbox.kernels.text import Function, KernelError

IDLE = frozenset({"triton.language.static_print", "triton.language.device_assert"})


def drop_debugging(kernels: list[Function], known: Mapping[str, str]) -> None:
    """Rewrite `kernels` in place.

    Args:
        known: names for Triton's language in the file, as `kernels.source.aliases`.
    """
    helpers = {
        node.id for kernel in kernels for node in walk(kernel) if isinstance(node, ast.Name) and node.id != kernel.name
    }
    languages = [name for name, path in known.items() if path == "triton.language"]
    for kernel in kernels:
        try:
            own = bound(kernel)
        except KernelError:
            continue  # refused by `kernels.source.check` if it is launched
        language = next((name for name in languages if name not in own), "")
        dropper = _Dropper(known, own, language, at_compile_time(kernel))
        kernel.body = [dropper.visit(statement) for statement in kernel.body]
        if kernel.name in helpers:
            dropper.close(kernel.body)


class _Dropper(ast.NodeTransformer):
    def __init__(self, known: Mapping[str, str], own: set[str], language: str, as_python: bool) -> None:
        """`own`: what the kernel binds itself; `language`: a name for Triton's, or nothing."""
        self.known, self.own, self.language, self.as_python = known, own, language, as_python

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        called = self._name(node.value.func) if isinstance(node.value, ast.Call) else ""
        return ast.copy_location(ast.Pass(), node) if called in IDLE and not self._acts(node.value) else node

    def _acts(self, call: ast.expr) -> bool:
        """An argument assigns, changes memory or calls a function of the file: Triton computes it all the same."""
        inside = [node for node in walk(call) if isinstance(node, ast.Call | ast.NamedExpr) and node is not call]
        return any(
            isinstance(node, ast.NamedExpr)
            or not (name := self._name(node.func)).startswith("triton.")
            or name.split(".")[-1].startswith(("store", "atomic_"))
            for node in inside
        )

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return self._failing(node, ast.unparse(node))

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        for branch in (node.body, node.orelse):
            self.close(branch)
        return node

    def close(self, branch: list[ast.stmt]) -> None:
        """What follows may need what it would have assigned."""
        refused = ((number, why) for number, one in enumerate(branch) if (why := self._foreign(one)))
        for number, why in [] if self.as_python else [*refused][:1]:
            if (failing := self._failing(branch[number], why)) is not branch[number]:
                branch[number:] = [failing]

    def _failing(self, node: ast.stmt, text: str) -> ast.stmt:
        """An assertion that fails in the place of `node`, if the file has a name for the language."""
        if not self.as_python and not self.language:
            return node
        failure = f"assert False, {text!r}" if self.as_python else f"{self.language}.static_assert(False, {text!r})"
        return ast.fix_missing_locations(ast.copy_location(ast.parse(failure).body[0], node))

    def _foreign(self, statement: ast.stmt) -> str:
        """Why a statement without others in it may not be compiled; empty if nothing speaks against it."""
        simple = isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return)
        for node in walk(statement) if simple else ():
            name = self._name(node) if isinstance(node, ast.Name | ast.Attribute) else ""
            if name == "print":
                return "print may not be used inside a kernel"
            if name.startswith("triton.language."):
                try:
                    check_dotted(name.split("."), f"line {statement.lineno}")
                except KernelError as error:
                    return str(error)
        return ""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        kind = self._name(node.annotation).split(".")[-1]
        if node.value is None or kind in ("", "constexpr"):
            return node
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def _name(self, node: ast.expr) -> str:
        """A dotted name, in full if it is of Triton's language; empty for anything else."""
        dotted = path_of(node)
        if not dotted or dotted[0] in self.own:
            return ".".join(dotted)
        return ".".join([self.known.get(dotted[0], dotted[0]).replace(":", "."), *dotted[1:]])
