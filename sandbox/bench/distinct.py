"""Makes copies of a candidate that no cache has seen: every `@triton.jit` function gets a new name.

The compiled kernel carries the function's name, so a renamed copy differs in source, TTIR and cubin while it does
the same work. Comments are lost. Nothing is executed.
"""

import ast

from sandbox.kernels.functions import jit_functions


class NotRenamableError(ValueError):
    """A jit function's name is also something else in this file; renaming could change what the file does."""


def distinct(source: str, suffix: str) -> str:
    """`source` with `suffix` appended to the name of every jit function.

    Raises:
        NotRenamableError: a name is also a parameter, a keyword, an attribute, a string or an import.
        SyntaxError: `source` is no valid Python.
    """
    tree = ast.parse(source)
    names = {function.name for function in jit_functions(tree)}
    if clashes := names & _other_uses(tree):
        raise NotRenamableError(f"{', '.join(sorted(clashes))} is used as more than a function's name")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            node.name += suffix
        elif isinstance(node, ast.Name) and node.id in names:
            node.id += suffix
    return ast.unparse(tree) + "\n"


def _other_uses(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.keyword):
            found.add(node.arg or "")
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            found.update(node.names)
    return found
