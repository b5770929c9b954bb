"""TritonBench's two halves, from a clone: G, Triton operators of public repositories, and T, PyTorch functions.

What its files do not say about themselves:

1. `TritonBench_T_v1.jsonl` is a JSON array.
2. Gold code and test stand in one file, with a line of exactly 146 `#` between them. Other lines of `#` are comments.
3. Prompts of G belong to operators by position. In one of 184 the gold answer beside the prompt is another version.
4. Prompts of T belong to operators by the description in them.
5. G names no entry point: an answer must define what the test calls of the gold code, of which the first stands for
   all. T's is the file's stem, though one test (`quantize_dynamic`) calls its gold by another name, so that no answer
   to the prompt can pass it.
6. Tests leave their results in a variable: `result_gold` in G, `test_results` in T, but for three files. One test of G
   is never run, and one defines the operator itself and so tests nothing.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from data_pipeline.contamination import SEPARATOR, BenchmarkMissingError
from data_pipeline.task import Message
from eval.benchmarks.item import Item
from sandbox.kernels.syntax import parsed

ADDRESS = "https://github.com/thunlp/TritonBench"
WAYS = ("simp", "comp")
"""Of asking: a short and a full description (G), the function alone and with its formula and notes (T)."""
RESULTS = ("result_gold", "test_results", "output")
"""Names that begin the names of result variables."""
LANGUAGE_TOKENS = ("<|im_end|>", "<|EOT|>")
"""Ends of sequence that were left in published answers; upstream removes the same."""

Half = Literal["G", "T"]
OPERATORS: dict[Half, str] = {"G": "TritonBench_G_v1.json", "T": "TritonBench_T_v1.jsonl"}


class TritonBenchItem(Item):
    """One operator."""

    half: Half
    gold: str
    """Triton in G, PyTorch in T."""
    test: str
    """Upstream's test: code to be run below an answer."""
    called: tuple[str, ...]
    """What the test uses of the gold code, in order; () where it uses nothing of it."""
    result: str
    """The variable with the test's results; "" where the test is defined but never run."""
    asked: tuple[str, ...]
    """What prompts for this item hold, however they are framed: G's descriptions of the code, T's of the function."""
    prompts: dict[str, str]
    """By way of asking."""

    def messages(self, way: str = "") -> list[Message]:
        """Upstream's prompt, which is one message of the user."""
        return [Message(role="user", content=self.prompts[way or WAYS[0]])]


def load(clone: Path, half: Half) -> list[TritonBenchItem]:
    """All operators of one half, in upstream's order.

    Raises:
        BenchmarkMissingError: a file is missing or not of the expected form; the message names it.
    """
    data = clone / "data"
    rows = _rows(data / OPERATORS[half])
    asked = {way: [str(row["instruction"]) for row in _rows(data / f"TritonBench_{half}_{way}_alpac_v1.json")]
             for way in WAYS}  # fmt: skip
    prompts = _by_position(rows, asked) if half == "G" else _by_description(rows, asked)
    return [_item(half, row, data, prompt) for row, prompt in zip(rows, prompts, strict=True)]


def upstream_filter(code: str) -> str:
    """What upstream runs of an answer to G, not to T: its imports, then its functions, from wherever in it they stand.

    Constants, classes and top-level calls are lost; functions within functions and methods come out a second time, at
    top level. A right answer can fail of it, which is why scores are given with and without. Code that does not parse
    stays as it is.
    """
    tree = _parse(code)
    if tree is None:
        return code
    nodes = list(ast.walk(tree))  # breadth first: top-level functions come before those within them
    imports = [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    functions = [ast.unparse(node) for node in nodes if isinstance(node, ast.FunctionDef)]
    return "\n".join(imports) + "\n\n" + "\n".join(functions)


def upstream_answer(predicted: str) -> str:
    """What upstream takes as code of a predicted text: all that follows the last opening fence, the closing one too."""
    if "```python" not in predicted:
        return predicted
    return without_language_tokens(predicted.split("```python")[-1])


def without_language_tokens(text: str) -> str:
    for token in LANGUAGE_TOKENS:
        text = text.replace(token, "")
    return text


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise BenchmarkMissingError(
            f"there is no {path}; eval.root must be a clone of TritonBench: git clone {ADDRESS}"
        )
    try:
        rows = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise BenchmarkMissingError(f"{path} is no JSON array, line {error.lineno}: {error.msg}") from error
    return list(rows)


def _by_position(rows: list[dict[str, Any]], asked: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    for way, prompts in asked.items():
        if len(prompts) != len(rows):
            raise BenchmarkMissingError(
                f"TritonBench_G_{way}_alpac_v1.json has {len(prompts)} prompts for {len(rows)} operators, and they "
                "belong together by position; take both files from one revision"
            )
    for position, row in enumerate(rows):
        found = {way: prompts[position] for way, prompts in asked.items()}
        for way, prompt in found.items():
            if str(row[f"{way}_instru"]).strip() not in prompt:
                raise BenchmarkMissingError(
                    f"prompt {position} of TritonBench_G_{way}_alpac_v1.json does not ask for {row['file']}; take "
                    "both files from one revision"
                )
        yield found


def _by_description(rows: list[dict[str, Any]], asked: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    for row in rows:
        found = {}
        for way, prompts in asked.items():
            holding = [prompt for prompt in prompts if row["description"] in prompt]
            if len(holding) != 1:
                raise BenchmarkMissingError(
                    f"{len(holding)} prompts of TritonBench_T_{way}_alpac_v1.json have the description of "
                    f"{row['file']}, not one; take both files from one revision"
                )
            found[way] = holding[0]
        yield found


def _item(half: Half, row: dict[str, Any], data: Path, prompts: dict[str, str]) -> TritonBenchItem:
    path = data / f"TritonBench_{half}_v1" / row["file"]
    if not path.is_file():
        raise BenchmarkMissingError(f"there is no {path}, which TritonBench_{half}_v1 lists; the clone is not complete")
    parts = path.read_text().split(f"{SEPARATOR}\n")
    if len(parts) != 2:
        raise BenchmarkMissingError(f"{path} has {len(parts) - 1} lines of 146 # between code and test, not one")
    gold, test = parts
    called = _called(gold, test)
    stem = path.stem
    return TritonBenchItem(
        id=f"TritonBench_{half}/{stem}",
        level=int(row["difficulty"]),
        entry_point=stem if half == "T" else [*called, *reversed(_defined(gold)), stem][0],
        half=half,
        gold=gold,
        test=test,
        called=called,
        result=_result(test),
        asked=(row["description"],) if half == "T" else tuple(str(row[f"{way}_instru"]) for way in WAYS),
        prompts=prompts,
    )


def _called(gold: str, test: str) -> tuple[str, ...]:
    """Names that the gold code defines and the test reads, but for those that the test defines itself."""
    tree = _parse(test)
    if tree is None:
        return ()
    names = set(_defined(gold)) - set(_defined(test))
    reads = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in names]
    ordered = sorted(reads, key=lambda node: (node.lineno, node.col_offset))
    return tuple(dict.fromkeys(node.id for node in ordered))


def _defined(code: str) -> tuple[str, ...]:
    """Functions, classes and variables at top level, in order, under an `if` too."""
    tree = _parse(code)
    found = []
    for node in [] if tree is None else _statements(tree.body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return tuple(found)


def _result(test: str) -> str:
    found = [name for name in _defined(test) if name.startswith(RESULTS)]
    return found[-1] if found else ""


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements(node.body)


def _parse(code: str) -> ast.Module | None:
    try:
        return parsed(code)
    except (SyntaxError, ValueError, RecursionError):
        return None
