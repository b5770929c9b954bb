"""First look at a candidate, in milliseconds and without running anything.

The screen saves work and gives the model a clear reason; nothing relies on it for security, except that the same
kernel-body check (`kernels.source`) decides later what the interpreter may execute.
"""

import ast
import sys
import warnings

from sandbox.kernels import functions as kernel_functions
from sandbox.kernels import source as kernel_source
from sandbox.kernels.debugging import drop_debugging
from sandbox.kernels.records import number_fields
from sandbox.kernels.signature import last_name
from sandbox.kernels.syntax import parsed, walk
from sandbox.kernels.text import KernelError
from sandbox.types import Job, Rejected

MAX_SOURCE_BYTES = 256 << 10
MAX_NODES = 100_000
"""Of a syntax tree, and of those of all kernels together. Honest code of the greatest length has half of that."""
MAX_BRACES = 20_000
"""Python parses an f-string in time that is quadratic in them: half a second."""
ALLOWED_IMPORTS = frozenset(
    """
    __future__ abc argparse bisect builtins cmath collections contextlib copy dataclasses datetime einops enum fractions
    functools gc hashlib heapq importlib inspect io itertools json logging math numbers numpy operator os packaging
    pathlib platform pprint random re statistics string struct sys textwrap threading time timeit torch traceback triton
    types typing typing_extensions unittest warnings weakref
    """.split()
)
"""What kernel files import for their own ends; in the tracer's jail none of it is dangerous, its clock least of all."""


def parse(source: str) -> ast.Module:
    """Source → syntax tree, within caps.

    Raises:
        ValueError: too long, too much, too deep, or no Python; the message says which.
    """
    if len(source) > MAX_SOURCE_BYTES or len(source.encode(errors="surrogatepass")) > MAX_SOURCE_BYTES:
        raise ValueError(f"the source is longer than {MAX_SOURCE_BYTES} bytes")
    if source.count("{") > MAX_BRACES:
        raise ValueError(f"the source has more than {MAX_BRACES} braces; shorten it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a candidate's invalid escape is no concern of our log
            source.encode()
            tree = parsed(source)
    except SyntaxError as error:
        raise ValueError(f"the source is no valid Python: line {error.lineno}: {error.msg}") from error
    except UnicodeEncodeError as error:
        raise ValueError("the source is no valid Unicode text") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("the source is nested too deeply") from error
    if len(walk(tree)) > MAX_NODES:
        raise ValueError(f"the source has more than {MAX_NODES} names, numbers and operations; shorten it")
    return tree


def screen(job: Job) -> Rejected | ast.Module:
    """Size, syntax, imports, entry point; at least one kernel unless torch is allowed too, and one within the language
    where there are any: which are launched, and so have to be, is not known yet.
    """
    try:
        tree = parse(job.candidate)
        _check_imports(tree)
        _check_entry_point(tree, job.entry_point)
        kernels = kernel_functions.jit_functions(tree)
        if not kernels and job.policy == "triton_only":
            raise ValueError("there is no @triton.jit function; the work must be done in a Triton kernel")
        _check_work(kernels)
        drop_debugging([*kernels, *kernel_functions.evaluated(tree)], kernel_source.aliases(tree))
        number_fields(tree, kernels)
        _check_kernels(tree, kernels)
    except ValueError as error:
        return Rejected(stage="screen", reason=str(error)[:500])
    except RecursionError:
        return Rejected(stage="screen", reason="the source is nested too deeply")
    return tree


def _check_work(kernels: list[ast.FunctionDef]) -> None:
    """Each is looked at by itself, with all functions in it."""
    nodes = 0
    for kernel in kernels:
        nodes += len(walk(kernel))
        if nodes > MAX_NODES:
            raise ValueError("the kernels are too long, or stand in one another; take out what is not launched")


def _check_kernels(tree: ast.Module, kernels: list[ast.FunctionDef]) -> None:
    known, names = kernel_source.aliases(tree), set(kernel_functions.functions(tree))
    errors = []
    for kernel in kernels:
        try:
            kernel_source.check(kernel, names, None, known)
        except KernelError as error:
            errors.append(error)
    if errors and len(errors) == len(kernels):
        raise errors[0]


def _check_imports(tree: ast.Module) -> None:
    skipped = _never_run(tree)
    for node in walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError("relative imports are not allowed; a candidate is one file")
        for module in _imported(node):
            if module.split(".")[0] not in ALLOWED_IMPORTS:
                allowed = ", ".join(sorted(ALLOWED_IMPORTS - {"__future__"}))
                raise ValueError(f"import of {module!r} is not allowed; allowed are {allowed}")


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []


def _is_of_a_library(node: ast.AST) -> bool:
    roots = {module.split(".")[0] for module in _imported(node)} - {""}
    return bool(roots) and not roots & sys.stdlib_module_names


def _never_run(tree: ast.Module) -> set[int]:
    """Statements of `if __name__ == "__main__":` and `if TYPE_CHECKING:`, those for which a failed import has a
    substitute. And imports of libraries in functions (for plots, for tests): few are called, and in the tracer's jail
    none does harm; what a library launches is not in the file, and is refused where it is planned.
    """
    found: set[int] = set()
    queue: list[tuple[ast.AST, bool, bool]] = [(tree, False, False)]
    while queue:  # once, however deep such blocks and functions stand in one another
        node, skipped, late = queue.pop()
        if skipped or (late and _is_of_a_library(node)):
            found.add(id(node))
        idle = isinstance(node, ast.If) and _is_false(node.test)
        idle = idle or (isinstance(node, ast.Try) and any(_excuses_imports(handler) for handler in node.handlers))
        body = set(map(id, node.body)) if idle else set()  # type: ignore[attr-defined]  # both kinds have one
        late = late or isinstance(node, ast.FunctionDef)
        queue += [(child, skipped or id(child) in body, late) for child in ast.iter_child_nodes(node)]
    return found


def _is_false(test: ast.expr) -> bool:
    return last_name(test) == "TYPE_CHECKING" or ast.unparse(test) == "__name__ == '__main__'"


def _excuses_imports(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in ("ImportError", "ModuleNotFoundError") for kind in caught)


def _check_entry_point(tree: ast.Module, name: str) -> None:
    queue: list[ast.AST] = [tree]
    while queue:  # in branches too, where Python decides which of several it is
        node = queue.pop()
        own = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
        if own or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)):
            return
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.Lambda):
            queue += ast.iter_child_nodes(node)
    raise ValueError(f"the entry point {name!r} is not defined at the top level of the file")
