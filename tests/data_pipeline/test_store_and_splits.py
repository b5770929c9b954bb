"""What is written can be read, whatever happened in between; splits never overlap."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs.errors import UsageError
from data_pipeline.splits import split_tasks
from data_pipeline.store import (
    TASKS,
    append_record,
    load_kernels,
    load_pairs,
    load_tasks,
    read_records,
    write_kernels,
    write_records,
    write_tasks,
)
from data_pipeline.synthetic import FAMILIES, propose
from data_pipeline.task import Kernel, Provenance, Solution, Task
from sandbox.types import Passed


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return [task for task, _ in propose(60, 2, dict.fromkeys(FAMILIES[6:], 0))]


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
    with pytest.raises(UsageError, match="python -m data_pipeline"):
        load_tasks(tmp_path)


def test_the_data_set_comes_back_as_it_was(tasks: list[Task], tmp_path: Path) -> None:
    pairs = [
        (task, Solution(task_id=task.id, code=f"# {n}\n", verdict=Passed(cases=()))) for n, task in enumerate(tasks)
    ]
    write_tasks(tmp_path, iter(pairs))
    assert load_pairs(tmp_path, "train") == pairs and load_pairs(tmp_path, "heldout") == []
    assert load_tasks(tmp_path) == tasks
    kernel = Kernel(
        id="k", name="f", source=Provenance(origin="package:x", version="1", licence="MIT"), code="x", launchers=()
    )
    write_kernels(tmp_path, [kernel])
    assert load_kernels(tmp_path) == [kernel]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernels.parquet", "tasks.parquet"]


def test_a_task_without_a_solution_is_a_task_but_no_pair(tasks: list[Task], tmp_path: Path) -> None:
    solved = Solution(task_id=tasks[0].id, code="# x\n", verdict=Passed(cases=()))
    write_tasks(tmp_path, [(tasks[0], solved), (tasks[1], None)])
    assert load_pairs(tmp_path, None) == [(tasks[0], solved)]
    assert load_tasks(tmp_path, "train") == tasks[:2]
    table = pq.read_table(tmp_path / "tasks.parquet", columns=["solution", "verdict"])
    assert [column.null_count for column in table.columns] == [1, 1]


def test_columns_can_be_filtered_without_our_code(tasks: list[Task], tmp_path: Path) -> None:
    write_tasks(tmp_path, ((t, Solution(task_id=t.id, code="", verdict=Passed(cases=()))) for t in tasks))
    table = pq.read_table(tmp_path / "tasks.parquet", filters=[("family", "==", "softmax")])
    assert table.schema.names == TASKS.names and table.num_rows == 10
    assert set(table["dtype"].to_pylist()) <= {"float32", "float16", "bfloat16"}


def split(tasks: list[Task], families: tuple[str, ...], count: int) -> list[Task]:
    return [task for task, _ in split_tasks(((task, None) for task in tasks), families, count)]


def test_splits_are_disjoint_and_capped(tasks: list[Task]) -> None:
    kept = split(tasks, ("softmax", "gather"), 4)
    train = {task.id for task in kept if task.split == "train"}
    heldout = {task.id for task in kept if task.split == "heldout"}
    assert not train & heldout and len(heldout) == 8 and len(train) == 40
    families = {name: {t.family for t in kept if t.split == name} for name in ("train", "heldout")}
    assert families == {"train": set(FAMILIES[:6]) - {"softmax", "gather"}, "heldout": {"softmax", "gather"}}


def test_leaks_are_refused(tasks: list[Task]) -> None:
    with pytest.raises(ValueError, match="twice"):
        split([tasks[0], tasks[0]], (), 4)
    leaked = tasks[0].model_copy(update={"id": "other", "family": "softmax"})
    with pytest.raises(ValueError, match="both splits"):
        split([tasks[0], leaked], ("softmax",), 4)
