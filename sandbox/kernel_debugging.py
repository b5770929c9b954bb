"""Takes out of kernels what only serves debugging: without `debug=True`, which the tracer refuses, a device assert does
nothing, and a static print speaks to an author who compiles. Printing from the device is work, and is refused.
"""

import ast
from collections.abc import Mapping

from sandbox.kernel_scopes import bound
from sandbox.kernel_signature import path_of
from sandbox.kernel_text import Function, KernelError

IDLE = frozenset({"triton.language.static_print", "triton.language.device_assert"})


def drop_debugging(kernels: list[Function], known: Mapping[str, str]) -> None:
    """Rewrite `kernels` in place.

    Args:
        known: names for Triton's language in the file, as `kernel_source.aliases`.
    """
    for kernel in kernels:
        try:
            own = bound(kernel)
        except KernelError:
            continue  # refused by `kernel_source.check` if it is launched
        dropper = _Dropper({name: path for name, path in known.items() if name not in own})
        kernel.body = [dropper.visit(statement) for statement in kernel.body]


class _Dropper(ast.NodeTransformer):
    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        dotted = path_of(node.value.func) if isinstance(node.value, ast.Call) else []
        if dotted and dotted[0] in self.known:
            name = ".".join([self.known[dotted[0]].replace(":", "."), *dotted[1:]])
            return ast.copy_location(ast.Pass(), node) if name in IDLE else node
        return node
