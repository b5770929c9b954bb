"""What is written can be read, whatever happened in between; splits never overlap."""

from pathlib import Path

import pytest

from data_pipeline.splits import split_tasks
from data_pipeline.store import (
    append_record,
    as_dataset,
    load_tasks,
    read_parquet,
    read_records,
    write_parquet,
    write_records,
)
from data_pipeline.synthetic import FAMILIES, propose
from data_pipeline.task import Task


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return [task for task, _ in propose(60, seed=2)]


def test_round_trip(tasks: list[Task], tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", tasks[:3])
    append_record(tmp_path / "a.jsonl", tasks[3])
    assert read_records(tmp_path / "a.jsonl", Task) == tasks[:4]
    assert read_records(tmp_path / "none.jsonl", Task) == []


def test_torn_line_is_dropped_and_overwritten(tasks: list[Task], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append_record(path, tasks[0])
    whole = path.read_bytes()
    path.write_bytes(whole + tasks[1].model_dump_json().encode()[: -len(whole) // 2])
    assert read_records(path, Task) == tasks[:1]
    append_record(path, tasks[2])
    assert read_records(path, Task) == [tasks[0], tasks[2]]


def test_a_torn_first_line_is_an_empty_file(tasks: list[Task], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * 100_000)
    assert read_records(path, Task) == []
    append_record(path, tasks[0])
    assert read_records(path, Task) == tasks[:1]


def test_a_wrong_whole_line_is_named(tasks: list[Task], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_records(path, tasks[:1])
    with path.open("a") as file:
        file.write('{"id": 3}\n')
    with pytest.raises(ValueError, match="line 2 is no Task"):
        read_records(path, Task)


def test_missing_data_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="python -m data_pipeline"):
        load_tasks(tmp_path)


def test_datasets_and_parquet(tasks: list[Task], tmp_path: Path) -> None:
    rows = as_dataset(tasks)
    assert len(rows) == 60 and set(rows.column_names) == {"id", "family", "split", "difficulty", "record"}
    softmax = rows.filter(lambda row: row["family"] == "softmax")
    assert len(softmax) == 10
    write_parquet(tmp_path / "t.parquet", tasks)
    assert read_parquet(tmp_path / "t.parquet", Task) == tasks
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_splits_are_disjoint_and_capped(tasks: list[Task]) -> None:
    kept = split_tasks(tasks, ("softmax", "gather"), 4)
    train = {task.id for task in kept if task.split == "train"}
    heldout = {task.id for task in kept if task.split == "heldout"}
    assert not train & heldout and len(heldout) == 8 and len(train) == 40
    families = {split: {t.family for t in kept if t.split == split} for split in ("train", "heldout")}
    assert families == {"train": set(FAMILIES) - {"softmax", "gather"}, "heldout": {"softmax", "gather"}}


def test_leaks_are_refused(tasks: list[Task]) -> None:
    with pytest.raises(ValueError, match="twice"):
        split_tasks([tasks[0], tasks[0]], (), 4)
    leaked = tasks[0].model_copy(update={"id": "other", "family": "softmax"})
    with pytest.raises(ValueError, match="both splits"):
        split_tasks([tasks[0], leaked], ("softmax",), 4)
