"""The finished data set: `tasks.parquet` and `kernels.parquet` in `<out>/data`, and JSON lines for samples of a run.

A row has columns to filter by and the whole record as JSON in `record` (Arrow would merge the differing `args` of
cases into one struct full of nulls). Files are written as a stream and moved into place whole.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from configs.errors import UsageError
from data_pipeline.task import Kernel, Solution, Split, Task
from sandbox.types import Passed, Record

R = TypeVar("R", bound=Record)
SLICE = 500
_TEXT, _NUMBER = pa.string(), pa.int64()
TASKS = pa.schema(
    [
        ("id", _TEXT), ("family", _TEXT), ("split", _TEXT), ("origin", _TEXT), ("licence", _TEXT),
        ("difficulty", _NUMBER), ("dtype", _TEXT), ("record", _TEXT), ("solution", _TEXT), ("verdict", _TEXT),
    ]
)  # fmt: skip
"""One admitted task a row: `record` a `Task`, `solution` the Triton file that passed, `verdict` its `Passed`; both null
where the task is a reference alone."""
KERNELS = pa.schema(
    [("id", _TEXT), ("name", _TEXT), ("origin", _TEXT), ("licence", _TEXT), ("code", _TEXT), ("record", _TEXT)]
)
"""One harvested kernel without a reference a row: `record` a `Kernel`."""


def write_tasks(folder: Path, pairs: Iterable[tuple[Task, Solution | None]]) -> None:
    """Write `tasks.parquet` atomically."""
    _write(folder / "tasks.parquet", TASKS, (_task_row(*pair) for pair in pairs))


def write_kernels(folder: Path, kernels: Iterable[Kernel]) -> None:
    """Write `kernels.parquet` atomically."""
    _write(folder / "kernels.parquet", KERNELS, (_kernel_row(kernel) for kernel in kernels))


def load_pairs(folder: Path, split: Split | None) -> list[tuple[Task, Solution]]:
    """Admitted tasks of one split, or of all, that have a solution, with it; training must ask for `train`.

    Raises:
        UsageError: the data stage has not finished there.
    """
    pairs = []
    for row in read_rows(folder / "tasks.parquet"):
        if split in (None, row["split"]) and row["solution"] is not None:
            task = Task.model_validate_json(row["record"])
            verdict = Passed.model_validate_json(row["verdict"])
            pairs.append((task, Solution(task_id=task.id, code=row["solution"], verdict=verdict)))
    return pairs


def load_tasks(folder: Path, split: Split | None = None) -> list[Task]:
    """Admitted tasks of one split, or of all, with a solution or without. Errors as `load_pairs`."""
    rows = read_rows(folder / "tasks.parquet", ["split", "record"])
    return [Task.model_validate_json(row["record"]) for row in rows if split in (None, row["split"])]


def load_kernels(folder: Path) -> list[Kernel]:
    """Harvested kernels; [] where none were asked for. Errors as `load_pairs`."""
    return [Kernel.model_validate_json(row["record"]) for row in read_rows(folder / "kernels.parquet", ["record"])]


def _task_row(task: Task, solution: Solution | None) -> dict[str, Any]:
    return {
        "id": task.id, "family": task.family, "split": task.split, "origin": task.source.origin,
        "licence": task.source.licence, "difficulty": task.difficulty,
        "dtype": str(task.cases[0].args.get("dtype", "")) if task.cases else "", "record": task.model_dump_json(),
        "solution": None if solution is None else solution.code,
        "verdict": None if solution is None else solution.verdict.model_dump_json(),
    }  # fmt: skip


def _kernel_row(kernel: Kernel) -> dict[str, Any]:
    return {
        "id": kernel.id, "name": kernel.name, "origin": kernel.source.origin, "licence": kernel.source.licence,
        "code": kernel.code, "record": kernel.model_dump_json(),
    }  # fmt: skip


def _write(path: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    stream = iter(rows)
    with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while batch := list(islice(stream, SLICE)):
            writer.write_table(pa.Table.from_pylist(batch, schema))
    temporary.replace(path)


def read_rows(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of one of the files as a stream, with some columns or all.

    Raises:
        UsageError: the data stage has not finished there.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist; run `python -m data_pipeline` with the same `out=` first")
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(SLICE, columns=columns):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            f"{path} is damaged ({error}); delete {path.parent / 'summary.json'} and run `python -m data_pipeline` "
            "with the same settings: it writes the file anew from its ledger"
        ) from error


def append_record(path: Path, record: Record) -> None:
    """Append one whole line and force it to disk. A torn line that an earlier crash left is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        end = _end_of_whole_lines(path)
        file.truncate(end)
        file.write(record.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_records(path: Path, kind: type[R]) -> list[R]:
    """All records of a JSON lines file, [] if it does not exist; a torn last line is left out.

    Raises:
        UsageError: a complete line is not a `kind`; the message names file and line.
    """
    if not path.exists():
        return []
    whole = path.read_bytes()[: _end_of_whole_lines(path)]
    records = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            records.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise UsageError(
                f"{path}, line {number} is no {kind.__name__}: {error.errors()[0]['msg']}. It is damaged or of "
                f"another version; move {path.parent} away and run the stage again"
            ) from error
    return records


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write a whole JSON lines file atomically: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text("".join(record.model_dump_json() + "\n" for record in records))
    temporary.replace(path)


def _end_of_whole_lines(path: Path) -> int:
    """Bytes up to and including the last newline."""
    size = path.stat().st_size
    with path.open("rb") as file:
        position = size
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            position = start
    return 0
