"""TritonBench's items under our protocol: what is recorded, that inputs are fresh, and what the sandbox then says."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import tritonbench_items
from test_evaluate import config_of

from data_pipeline.extract import extract_kernel
from data_pipeline.prompt import render_answer
from data_pipeline.verify import Judging, verify
from eval.__main__ import run, stage
from eval.benchmarks.answers import golds
from eval.benchmarks.tritonbench.calls import UnusableCallError, expression, given, make_inputs
from eval.benchmarks.tritonbench.items import TritonBenchItem
from eval.benchmarks.tritonbench.task import record, task_of
from eval.benchmarks.tritonbench.trials import Recording
from eval.metrics import refused_as_hack
from eval.posed import posed
from eval.samples import read_samples
from sandbox.judging.draw import Draw
from sandbox.local import LocalSandbox
from sandbox.pool import Helper
from sandbox.types import Broken, Passed, Rejected, Verdict

KEPT = "kept.jsonl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tritonbench")


@pytest.fixture(scope="module")
def items(folder: Path) -> dict[str, TritonBenchItem]:
    return tritonbench_items.items(folder / "clone")


@pytest.fixture(scope="module")
def recorded(folder: Path, items: dict[str, TritonBenchItem]) -> dict[str, Recording | str]:
    found = record(list(items.values()), folder / KEPT, 2, gpu=False)
    return {name.rpartition("/")[2]: one for name, one in found.items()}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[LocalSandbox]:
    opened = LocalSandbox(1)
    yield opened
    opened.close()


def usable(found: Recording | str) -> Recording:
    assert isinstance(found, Recording), found
    return found


def drawn(recording: Recording, seed: int, call: int = 0) -> tuple[Any, ...]:
    space: dict[str, Any] = {"torch": torch}
    exec(make_inputs(recording.calls, recording.spread), space)
    inputs: tuple[Any, ...] = space["make_inputs"]({"call": call}, Draw(torch.Generator().manual_seed(seed)))
    return inputs


def judged(
    item: TritonBenchItem, found: Recording | str, code: str, sandbox: LocalSandbox, **settings: Any
) -> Passed | Rejected | Broken:
    task = task_of(item, usable(found))
    return asyncio.run(verify(task, render_answer(code), sandbox, Judging(**settings)))


def test_arguments_become_text() -> None:
    x = torch.ones(2)
    text, tensors = expression("f", (x, 2, [x, None]), {"dtype": torch.float16, "eps": float("inf"), "mode": "a'b"})
    assert text == 'f(given[0], 2, [given[1], None], dtype=torch.float16, eps=float("inf"), mode="a\'b")'
    assert [tensor is x for tensor in tensors] == [True, True]
    with pytest.raises(UnusableCallError, match="function"):
        expression("f", (lambda: 1,), {})
    with pytest.raises(UnusableCallError, match="complex"):
        given(torch.ones(2, dtype=torch.complex64))


def test_integers_keep_their_range_and_places_their_values() -> None:
    labels, offsets, order = torch.tensor([3, 0, 3, 9]), torch.tensor([0, 4, 4, 9]), torch.tensor([2, 0, 1])
    assert (given(labels).values, given(labels).low, given(labels).high) == (None, 0, 9)
    assert given(offsets).values == (0, 4, 4, 9) and given(order).values == (2, 0, 1)
    assert given(torch.ones(3, 4).t()).strides == (1, 4) and given(torch.ones(3, 4)).strides is None


def test_what_a_test_calls_is_recorded(recorded: dict[str, Recording | str]) -> None:
    pick = usable(recorded["pick_op"])
    (call,) = pick.calls
    assert call.expression == "pick(given[0], given[1], given[2], scale=0.5)"
    assert call.mutates == (2,) and call.kept == () and [one.shape for one in call.given] == [(8, 20), (6,), (6, 20)]
    assert pick.spread == "signed" and pick.device == "cpu"
    assert [distribution for _, distribution in pick.hidden] == ["heavy_tailed", "structured"]


def test_inputs_are_fresh_and_valid(recorded: dict[str, Recording | str]) -> None:
    """The test's values are positive and below 1; indices may be any that exist, and their largest must come up."""
    several = [drawn(usable(recorded["pick_op"]), seed) for seed in range(30)]
    assert len({tuple(x.flatten().tolist()) for _, x, _, _ in several}) == 30
    assert all((x < 0).any() for _, x, _, _ in several)
    indices = torch.cat([index for _, _, index, _ in several])
    assert indices.dtype == torch.int64 and set(indices.tolist()) == set(range(8))


def test_where_signs_make_no_sense_the_range_stays(recorded: dict[str, Recording | str]) -> None:
    root = usable(recorded["root"])
    _, x, where = drawn(root, 1)
    assert root.spread == "ranged" and (x >= 0).all() and x.unique().numel() > 30
    assert where.tolist() == [0, 3, 5], "places stay"


def test_a_call_on_integers_alone_is_posed_too(recorded: dict[str, Recording | str]) -> None:
    mixed, whole = usable(recorded["root"]).calls
    assert [one.values is None for one in mixed.given] == [True, False]
    assert [one.values is None for one in whole.given] == [True, True], "or nothing would be drawn"


def test_why_an_item_is_no_task(recorded: dict[str, Recording | str]) -> None:
    assert recorded["noise"] == "the result is random"
    assert recorded["Keeps"] == "a class with state is called"
    assert recorded["gone"] == "the gold code ended the process that ran its test"


def test_gold_code_as_answers(items: dict[str, TritonBenchItem]) -> None:
    found = {sample.task_id: sample.completion for sample in golds(list(items.values())).samples}
    assert found.keys() == {item.id for item in items.values()}
    assert extract_kernel(found["TritonBench_G/pick_op"], "pick") == tritonbench_items.PICK


def test_nothing_is_recorded_twice(
    folder: Path, items: dict[str, TritonBenchItem], recorded: dict[str, Recording | str], tmp_path: Path
) -> None:
    """Every recording has the time of its call in it, so that a second one would show."""
    lines = (folder / KEPT).read_bytes().splitlines(keepends=True)
    assert len(lines) == len(items)
    path = tmp_path / "half.jsonl"
    path.write_bytes(b"".join(lines[:-2]) + lines[-1][:20])
    record(list(items.values()), path, 1, gpu=False)
    assert path.read_bytes().splitlines(keepends=True)[: len(lines) - 2] == lines[:-2]
    assert len(path.read_bytes().splitlines()) == len(items)
    before = path.read_bytes()
    assert record(list(items.values()), path, 1, gpu=False).keys() == {item.id for item in items.values()}
    assert path.read_bytes() == before


def test_beside_a_gpu_each_item_has_a_process_too(items: dict[str, TritonBenchItem], tmp_path: Path) -> None:
    """The way to a GPU, with items that need none: one that ends its process, then one that must not notice."""
    with ThreadPoolExecutor(1) as starter:
        process = Helper(starter, tmp_path, "eval.benchmarks.tritonbench.recorder", "cuda", interpret=True)
        replies = []
        for item in (items["gone"], items["twice"]):
            asked = {"name": item.name, "gold": item.gold, "test": item.test, "called": item.called}
            replies.append(process.ask({"op": "record", "device": "cpu", **asked}, 60)[0])
        process.close()
    assert replies[0] == {"reason": "the gold code ended the process that ran its test"}
    assert usable(Recording.model_validate(replies[1]["recording"])).calls[0].expression == "twice(given[0])"


@pytest.mark.slow
def test_right_and_wrong_answers_to_a_triton_item(
    items: dict[str, TritonBenchItem], recorded: dict[str, Recording | str], sandbox: LocalSandbox
) -> None:
    item, found = items["pick_op"], recorded["pick_op"]
    right = judged(item, found, tritonbench_items.PICK, sandbox)
    assert isinstance(right, Passed), right
    assert len(right.cases) == 3 and sum(case.hidden for case in right.cases) == 2
    positive = tritonbench_items.PICK.replace("x * scale", "tl.abs(x) * scale")
    first_only = tritonbench_items.PICK.replace("index_ptr + row)", "index_ptr)")
    for code in (positive, first_only):
        wrong = judged(item, found, code, sandbox)
        assert isinstance(wrong, Rejected) and wrong.stage == "numerics", wrong


@pytest.mark.slow
def test_memory_and_torch_are_no_answers(
    items: dict[str, TritonBenchItem], recorded: dict[str, Recording | str], sandbox: LocalSandbox
) -> None:
    item, found = items["twice"], recorded["twice"]
    assert isinstance(judged(item, found, tritonbench_items.KERNEL, sandbox), Passed)
    by_heart = judged(item, found, tritonbench_items.MEMORY, sandbox)
    assert isinstance(by_heart, Rejected) and by_heart.stage == "numerics", by_heart
    torch_only = judged(item, found, tritonbench_items.TORCH, sandbox)
    assert isinstance(torch_only, Rejected) and refused_as_hack(torch_only), torch_only
    assert isinstance(judged(item, found, tritonbench_items.TORCH, sandbox, policy="mixed"), Passed)


@pytest.mark.slow
def test_published_answers_from_file_to_scores(tmp_path: Path) -> None:
    root = tritonbench_items.clone(tmp_path / "clone")
    asked = "Upstream says: Write the operator twice, please."
    rows = [{"instruction": asked, "predict": code, "label": ""}
            for code in (tritonbench_items.KERNEL, tritonbench_items.TORCH)]  # fmt: skip
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = config_of(
        tmp_path / "out", "eval.benchmark=tritonbench_t", f"eval.root={root}", "eval.engine=files",
        f"eval.answers={path}", "eval.pass_k=[1]",
    )  # fmt: skip
    assert posed(config).messages["TritonBench_T/twice"] == [{"role": "user", "content": asked}]
    metrics = run(config)
    out = tmp_path / "out" / stage(config)
    found: dict[int, Verdict | None] = {key[1]: one.verdict for key, one in read_samples(out / "samples.jsonl").items()}
    assert isinstance(found[0], Passed) and isinstance(found[1], Rejected), found
    assert (metrics.judged, metrics.passed) == (2, 1)
    left_out = json.loads((out / "left_out.json").read_text())
    assert left_out["TritonBench_T/noise"] == "the result is random"
    assert left_out["TritonBench_T/root"] == "no file answers it"
    scores = json.loads((out / "scores.json").read_text())
    assert scores["level2"]["problems"] == 2 and scores["level2"]["right"] == 1, (
        "root is unanswered, noise is not posed"
    )
    assert scores["all"]["refused_as_hack"]["value"] == 0.5

    kept = (out.parent / "recordings.jsonl").read_bytes()
    assert run(config) == metrics and (out.parent / "recordings.jsonl").read_bytes() == kept
