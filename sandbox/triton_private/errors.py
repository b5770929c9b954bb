"""Triton's private interfaces, what its compiler says: the cause and its line, in one sentence."""

from triton.compiler.errors import CompilationError

MOST_CAUSES = 20
"""Errors that a candidate makes can form a ring."""


def describe(error: CompilationError) -> str:
    """`ValueError: arange's range must be a power of 2, in line 3 of its function: at = tl.arange(0, 12)`.

    Triton's own text starts with a dozen lines of source, and leaves the cause to another error.
    """
    root: BaseException = error
    for _ in range(MOST_CAUSES):
        if isinstance(root, CompilationError):
            error = root
        if root.__cause__ is None:
            break
        root = root.__cause__
    said = root.error_message if isinstance(root, CompilationError) else f"{type(root).__name__}: {root}"
    said = said or type(error).__name__
    line = getattr(error.node, "lineno", None)
    lines = (error.src or "").splitlines()
    if line is None or line > len(lines):  # the line may be a caller's, and the source that of what it calls
        return said
    return f"{said}, in line {line} of its function: {lines[line - 1].strip()}"
