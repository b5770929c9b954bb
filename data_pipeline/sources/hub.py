"""Data sets of PyTorch modules on the Hugging Face hub, or in a local file: KernelBook's columns and KernelBench's.

Rows become tasks in KernelBench style (`Model`, `get_inputs`, `get_init_inputs`; a candidate defines `ModelNew`). The
Triton code beside KernelBook's modules is what Inductor wrote. Where it calls `extern_kernels` or needs Inductor's
runtime, it is no file that stands alone, and the row becomes a task without a solution. No row is left out: what does
not parse or run is refused by quality, with the reason in the ledger. Rows are read as a stream.
"""

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from configs.schema import HubConfig
from data_pipeline.families import family_of
from data_pipeline.operators import operators
from data_pipeline.sources import SourceUnavailableError
from data_pipeline.task import Provenance, Task
from sandbox.screen import screen
from sandbox.task_file import MODEL_CASES
from sandbox.types import Limits, Rejected

Row = dict[str, Any]
READERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}
INDUCTOR = ("extern_kernels", "torch._inductor", "torch._C", "torch._dynamo")
"""Of which a candidate must not mention any."""
LONG_SUMS = frozenset(["matmul", "normalisation", "reduction", "softmax"])


def hub(config: HubConfig) -> Iterator[tuple[Task, str]]:
    """One task a row, with "" for a solution where the row has none that stands alone.

    Raises:
        SourceUnavailableError: no such data set, split or file, no network, or other columns.
    """
    columns, convert = FORMATS[config.format]
    for number, row in enumerate(_rows(config)):
        if missing := [column for column in columns if column not in row]:
            raise SourceUnavailableError(
                f"{config.name} has no column {', '.join(missing)}, which data.hub format={config.format} needs; "
                f"it has {', '.join(row)}"
            )
        yield convert(row, config, number)


def _rows(config: HubConfig) -> Iterator[Row]:
    from datasets import load_dataset

    try:
        if Path(config.name).is_file():
            reader = READERS[Path(config.name).suffix]
            yield from load_dataset(reader, data_files=config.name, split="train", streaming=True)
        else:
            yield from load_dataset(config.name, split=config.split, revision=config.revision, streaming=True)
    except (OSError, ValueError, KeyError) as error:
        raise SourceUnavailableError(
            f"cannot read data set {config.name}, split {config.split}, revision {config.revision}: {error}. Check "
            f"data.hub, or the network; offline, give the path of a {', '.join(READERS)} file with the same columns as "
            "name, or leave the data set out with data.hub=[]"
        ) from error


def _kernelbook(row: Row, config: HubConfig, number: int) -> tuple[Task, str]:
    named, licences = row["entry_point"], " AND ".join(row["licenses"] or ()) or config.licence
    path = f"{row.get('repo_name') or number}@{row.get('sha') or ''}"
    reference = as_model(row["python_code"], named, "Model")
    task = _task(reference, f"`{named}`, a module of {row.get('repo_name') or config.name}.", config, licences, path)
    candidate = as_model(row["triton_code"], f"{named}New", "ModelNew", row["python_code"])
    return task, candidate if _stands_alone(task, candidate) else ""


def _kernelbench(row: Row, config: HubConfig, number: int) -> tuple[Task, str]:
    name = str(row["name"])
    described = f"`{re.sub(r'^[0-9]+_', '', name)}`."
    return _task(row["code"], described, config, config.licence, f"level{row['level']}/{name}"), ""


Converter = Callable[[Row, HubConfig, int], tuple[Task, str]]
FORMATS: dict[str, tuple[tuple[str, ...], Converter]] = {
    "kernelbook": (("entry_point", "python_code", "triton_code", "licenses"), _kernelbook),
    "kernelbench": (("code", "level", "name"), _kernelbench),
}
"""By `format`: the columns that it cannot do without, and what makes a task of a row."""


def as_model(code: str, named: str, wanted: str, constructed_by: str | None = None) -> str:
    """A file that defines the module `named`, as one that defines it as `wanted` with arguments that are its own.

    KernelBook's `get_init_inputs` returns positional arguments and keywords, `[[], {"size": 4}]`; KernelBench's can
    return positional ones alone. So the arguments move into a constructor.

    Args:
        constructed_by: the file whose `get_init_inputs` says the arguments; None: `code` itself.
    """
    if named == wanted:
        named = f"{wanted}Original"
        code = re.sub(rf"\b{wanted}\b", named, code)
    found = _construction(code if constructed_by is None else constructed_by)
    if found is None:
        return f"{code.rstrip()}\n\n\nclass {wanted}({named}):\n    pass\n"
    function, arguments = found
    lines = code.splitlines()
    if constructed_by is None:
        del lines[function.lineno - 1 : function.end_lineno]
    lines = "\n".join(lines).rstrip().splitlines()
    lines += ["", "", f"class {wanted}({named}):", "    def __init__(self):", f"        super().__init__({arguments})"]
    if constructed_by is None:
        lines += ["", "", "def get_init_inputs():", "    return []"]
    return "\n".join(lines) + "\n"


def _construction(code: str) -> tuple[ast.FunctionDef, str] | None:
    """`get_init_inputs` and the arguments in it, as source; None if it is not of KernelBook's form."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "get_init_inputs":
            match node.body:
                case [ast.Return(value=ast.List(elts=[ast.List(elts=positional), ast.Dict(keys=keys, values=values)]))]:
                    constants = [key.value for key in keys if isinstance(key, ast.Constant)]
                    names = [name for name in constants if isinstance(name, str) and name.isidentifier()]
                    if len(names) == len(keys):
                        keywords = [f"{n}={ast.unparse(value)}" for n, value in zip(names, values, strict=True)]
                        return node, ", ".join([*map(ast.unparse, positional), *keywords])
    return None


def _task(reference: str, description: str, config: HubConfig, licence: str, path: str) -> Task:
    applied = operators(reference, "Model")
    family = family_of(applied)
    # PyTorch convolves float32 in TF32 on a GPU, and multiplies matrices in float32.
    tolerance = "TT" if family == "convolution" else "TS" if family in LONG_SUMS else "T32"
    digest = hashlib.sha256(json.dumps([reference, tolerance]).encode()).hexdigest()[:16]
    return Task(
        id=f"hub-{family}-{digest}",
        family=family,
        source=Provenance(origin=f"hub:{config.name}", version=config.revision, path=path, licence=licence),
        description=description,
        reference=reference,
        entry_point="ModelNew",
        cases=tuple(case for case in MODEL_CASES if not case.hidden),
        hidden_cases=tuple(case for case in MODEL_CASES if case.hidden),
        tolerance=tolerance,
        difficulty=sum(count for _, count in applied),
    )


def _stands_alone(task: Task, candidate: str) -> bool:
    """Whether the sandbox would look at it at all."""
    if any(name in candidate for name in INDUCTOR):
        return False
    job = task.job(candidate, policy="triton_only", targets=(), limits=Limits(), timing=None)
    return not isinstance(screen(job), Rejected)
