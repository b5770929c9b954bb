"""Python source → syntax tree, in any thread."""

import ast
import threading

_LOCK = threading.RLock()


def parsed(source: str) -> ast.Module:
    """`ast.parse` where several threads parse: CPython 3.11 has one counter for all of them while it builds trees
    (CPython issue 106905), and now and then fails with `SystemError` over sound source. Errors as `ast.parse`.
    """
    with _LOCK:
        try:
            return ast.parse(source)
        except SystemError:  # a library may parse meanwhile, without our lock
            return ast.parse(source)
