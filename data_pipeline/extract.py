"""From a model's completion to the source of one kernel file, whatever prose, thoughts and fences surround it.

Only text is looked at; nothing is executed. Code that does not parse is handed on where it was clearly meant as
the answer: the sandbox's screen then names the syntax error, so that there is one place for that.
"""

import ast
import re
import textwrap
import warnings
from typing import NamedTuple

from sandbox.kernels.syntax import parsed
from sandbox.types import Rejected

MAX_COMPLETION_CHARS = 400_000
MAX_FENCES = 200
"""Further fence lines are ignored: no honest answer has as many, and closers are tried in pairs."""
MAX_CLOSERS = 8
"""Fence lines tried as the end of one block: each costs a parse of all before it, and docstrings hold few."""
FENCE = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)[ \t]*+([\w+.-]*+)[^`]*+$")
"""Possessive throughout: a hostile line must not cost more than its length."""
CODE_LANGUAGES = frozenset({"", "python", "python3", "py", "triton", "code"})
CODE_START = re.compile(r"^(import |from \w|@|def |class |\"\"\"|#)")


class _Block(NamedTuple):
    code: str
    closed: bool


def extract_kernel(completion: str, entry_point: str) -> str | Rejected:
    """The last complete code block that defines `entry_point`, preferring one that holds a Triton kernel.

    Args:
        completion: what the model wrote: markdown with fences, or bare code; `<think>` sections are ignored.
        entry_point: name of the function or class that the file must define.

    Returns:
        Python source ending in a newline, or `Rejected(stage="extract")` that says what is missing. Source whose
        fence was never closed (a truncated completion) is taken only if it parses and defines the entry point.
    """
    if len(completion) > MAX_COMPLETION_CHARS:
        return _rejected(f"the answer is longer than {MAX_COMPLETION_CHARS} characters")
    text = _without_thoughts(completion.replace("\r\n", "\n").replace("\r", "\n"))
    if text is None:
        return _rejected("the answer is truncated inside its <think> section and holds no code")
    if not text.strip():
        return _rejected("the answer is empty")
    if defines(text, entry_point):
        return _tidy(text.split("\n"))  # bare code; fences in it are part of a docstring
    blocks = _fenced_blocks(text, entry_point)
    if not blocks:
        bare = _bare_code(text, entry_point)
        return (
            bare
            if bare is not None
            else _rejected("the answer holds no code block; put the file in one ```python block")
        )
    return _choose(blocks, entry_point)


def _choose(blocks: list[_Block], entry_point: str) -> str | Rejected:
    closed = [block.code for block in blocks if block.closed]
    whole = [code for code in closed if defines(code, entry_point)]
    if whole:
        return next((code for code in reversed(whole) if "jit" in code), whole[-1])
    open_block = next((block.code for block in blocks if not block.closed), None)
    if open_block is not None and defines(open_block, entry_point):
        return open_block
    meant = re.compile(rf"^(def|class) {re.escape(entry_point)}\b", re.MULTILINE)
    wrong_syntax = [code for code in closed if meant.search(code) and _parse(code) is None]
    if wrong_syntax:
        return wrong_syntax[-1]
    if open_block is not None:
        return _rejected("the answer is truncated: its last code block is never closed and is no complete file")
    return _rejected(f"no code block defines `{entry_point}`")


def defines(code: str, entry_point: str) -> bool:
    """Whether `code` parses and binds `entry_point` at its top level."""
    tree = _parse(code)
    if tree is None:
        return False
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == entry_point:
            return True
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == entry_point for t in node.targets):
            return True
    return False


def _without_thoughts(text: str) -> str | None:
    """Drop `<think>` sections; None if the text ends inside one. A prompt may have opened the first one already."""
    kept, rest = "", text
    while "</think>" in rest:  # not by an expression: `.*?` after thousands of openers takes minutes
        before, opened, inside = rest.partition("<think>")
        _, closed, after = inside.partition("</think>")
        if not (opened and closed):
            break
        kept, rest = kept + before, after
    text = (kept + rest).rsplit("</think>", 1)[-1]
    before, opened, _ = text.partition("<think>")
    if opened and not before.strip():
        return None
    return before


def _fenced_blocks(text: str, entry_point: str) -> list[_Block]:
    """Code blocks in order. A fence inside a docstring closes the block only if what stands before it parses."""
    lines = text.split("\n")
    fences = [(i, found) for i, line in enumerate(lines) if (found := FENCE.match(line))][:MAX_FENCES]
    blocks: list[_Block] = []
    position = 0
    while position < len(fences):
        start, opener = fences[position]
        language = opener[2].lower()
        closers = [n for n in range(position + 1, len(fences)) if _closes(fences[n][1], opener)]
        if language not in CODE_LANGUAGES:
            position = closers[0] + 1 if closers else len(fences)
            continue
        if not closers:
            blocks.append(_Block(_tidy(lines[start + 1 :]), closed=False))
            break
        end = _matching_closer(lines, start, [(n, fences[n][0]) for n in closers], entry_point)
        blocks.append(_Block(_tidy(lines[start + 1 : fences[end][0]]), closed=True))
        position = end + 1
    return blocks


def _matching_closer(lines: list[str], start: int, closers: list[tuple[int, int]], entry_point: str) -> int:
    """The first closer whose block parses; else the first whose longer block parses and defines the entry point."""
    first = closers[0]
    if _parse(_tidy(lines[start + 1 : first[1]])) is not None:
        return first[0]
    for fence, line in closers[1:MAX_CLOSERS]:
        if defines(_tidy(lines[start + 1 : line]), entry_point):
            return fence
    return first[0]


def _closes(fence: re.Match[str], opener: re.Match[str]) -> bool:
    return fence[1][0] == opener[1][0] and len(fence[1]) >= len(opener[1]) and not fence[2]


def _bare_code(text: str, entry_point: str) -> str | None:
    """An answer without fences: what is left of it once prose before and after is dropped."""
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if CODE_START.match(line)), None)
    if start is None:
        return None
    paragraphs = "\n".join(lines[start:]).split("\n\n")
    for kept in range(len(paragraphs), max(0, len(paragraphs) - 20), -1):
        code = "\n\n".join(paragraphs[:kept])
        if defines(code, entry_point):
            return _tidy(code.split("\n"))
    return None


def _tidy(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines)).strip("\n") + "\n"


def _parse(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return parsed(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # what ast.parse raises on hostile text
        return None


def _rejected(reason: str) -> Rejected:
    return Rejected(stage="extract", reason=reason)
