"""Records on disk: JSON lines while a stage runs, written so that an interruption loses at most the line in flight.

Consumers read records with `load_*`; `as_dataset` gives a `datasets.Dataset` whose column `record` holds the JSON and
whose other columns are for filtering (Arrow would merge the differing `args` of cases into one struct full of nulls).
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from data_pipeline.task import Kernel, Solution, Split, Task
from sandbox.types import Record

if TYPE_CHECKING:
    from datasets import Dataset

R = TypeVar("R", bound=Record)
INDEX_COLUMNS = ("id", "task_id", "family", "split", "difficulty", "kind", "name")


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
        ValueError: a complete line is not a `kind`; the message names file and line.
    """
    if not path.exists():
        return []
    whole = path.read_bytes()[: _end_of_whole_lines(path)]
    records = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            records.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise ValueError(
                f"{path}, line {number} is no {kind.__name__}: {error}. It was written by another version; "
                f"move {path.parent} away and run `python -m data_pipeline` again"
            ) from error
    return records


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write a whole JSON lines file atomically: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text("".join(record.model_dump_json() + "\n" for record in records))
    temporary.replace(path)


def load_tasks(folder: Path, split: Split | None = None) -> list[Task]:
    """Admitted tasks of `<out>/data`, of one split or of all.

    Raises:
        FileNotFoundError: the data stage has not finished there.
    """
    path = folder / "tasks.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; run `python -m data_pipeline` with the same `out=` first")
    return [task for task in read_records(path, Task) if split in (None, task.split)]


def load_pairs(folder: Path, split: Split) -> list[tuple[Task, Solution]]:
    """Admitted tasks of one split with their solutions; training must ask for `train`. Errors as `load_tasks`."""
    solutions = {solution.task_id: solution for solution in read_records(folder / "solutions.jsonl", Solution)}
    return [(task, solutions[task.id]) for task in load_tasks(folder, split) if task.id in solutions]


def load_kernels(folder: Path) -> list[Kernel]:
    """Harvested kernels of `<out>/data`; [] where none were asked for."""
    return read_records(folder / "kernels.jsonl", Kernel)


def as_dataset(records: Iterable[Record]) -> "Dataset":
    """A `datasets.Dataset` with the column `record` (JSON) and the index columns that the records have."""
    from datasets import Dataset

    rows = []
    for record in records:
        fields = json.loads(record.model_dump_json())
        rows.append({k: fields[k] for k in INDEX_COLUMNS if k in fields} | {"record": record.model_dump_json()})
    return Dataset.from_list(rows)


def write_parquet(path: Path, records: Iterable[Record]) -> None:
    """Write records as Parquet through `as_dataset`, atomically; for publishing a data set, not for running."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    as_dataset(records).to_parquet(str(temporary))
    temporary.replace(path)


def read_parquet(path: Path, kind: type[R]) -> list[R]:
    """The records of a file that `write_parquet` wrote."""
    from datasets import Dataset

    return [kind.model_validate_json(text) for text in Dataset.from_parquet(str(path))["record"]]


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
