"""The benchmarks' files, with all that is odd about them, become items, and published answers find theirs."""

import json
from pathlib import Path

import clones
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.contamination import SEPARATOR, BenchmarkMissingError
from data_pipeline.extract import extract_kernel
from eval.benchmarks.answers import answer_files, read_answers, read_run, tally, write_run
from eval.benchmarks.kernelbench import items as kernelbench
from eval.benchmarks.tritonbench import items as tritonbench
from eval.benchmarks.tritonbench.items import TritonBenchItem, upstream_answer, upstream_filter
from sandbox.task_file import MODEL_CASES


@pytest.fixture
def problems(tmp_path: Path) -> list[kernelbench.KernelBenchItem]:
    return kernelbench.load(str(clones.kernelbench(tmp_path / "kb")))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return clones.tritonbench(tmp_path / "tb")


def test_kernelbench_is_ordered_by_number_and_judged_on_hardened_cases(
    problems: list[kernelbench.KernelBenchItem],
) -> None:
    assert [(item.level, item.number, item.name) for item in problems] == [
        (1, 2, "2_HalfReLU"), (1, 10, "10_Other"), (1, 19, "19_ReLU"), (1, 23, "23_Softmax"), (2, 9, "9_Matmul"),
        (3, 1, "1_MLP"), (4, 1, "1_Hub"),
    ]  # fmt: skip
    first = problems[0]
    assert first.id == first.task.id == "KernelBench/level1/2_HalfReLU"
    assert first.task.cases + first.task.hidden_cases == MODEL_CASES and first.task.reference == clones.MODEL
    assert first.entry_point == first.task.entry_point == "ModelNew"
    prompt = first.messages()[-1]["content"]
    assert "torch.relu(x) * 0.5" in prompt and "`ModelNew`" in prompt and "tails" not in prompt


def test_kernelbench_marks_say_which_items_tell_little(problems: list[kernelbench.KernelBenchItem]) -> None:
    assert {item.id.split("/", 1)[1]: set(item.marks) for item in problems if item.marks} == {
        "level1/19_ReLU": {"identity"},
        "level1/23_Softmax": {"degenerate"},
        "level2/9_Matmul": {"degenerate"},
        "level4/1_Hub": {"hub_model"},
    }
    assert problems[0].needs() == ""
    assert "somebody/some-model" in problems[-1].needs() and "level 4" in problems[-1].needs()
    assert sum(map(len, kernelbench.DEGENERATE.values())) == 20 and len(kernelbench.IDENTITIES[1]) == 4


def test_kernelbench_by_levels_and_what_is_missing_is_named(tmp_path: Path) -> None:
    clone = clones.kernelbench(tmp_path / "kb")
    assert [item.level for item in kernelbench.load(str(clone), [2])] == [2]
    with pytest.raises(BenchmarkMissingError, match=r"levels 1 to 4, not 5"):
        kernelbench.load(str(clone), [1, 5])
    with pytest.raises(BenchmarkMissingError, match=r"there is no folder .*nowhere; .*git clone https"):
        kernelbench.load(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchmarkMissingError, match="must be a clone of KernelBench"):
        kernelbench.load(str(tmp_path / "empty"))
    (clone / "KernelBench" / "level3" / "1_MLP.py").unlink()
    with pytest.raises(BenchmarkMissingError, match="no item of level 3"):
        kernelbench.load(str(clone))


def test_kernelbench_from_its_data_set_is_the_same(
    tmp_path: Path, problems: list[kernelbench.KernelBenchItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of parquet files, one a split, which `datasets` reads by the same call as a name on the hub."""
    folder = tmp_path / "somebody" / "KernelBench"
    (folder / "data").mkdir(parents=True)
    for level in kernelbench.LEVELS:
        rows = [item for item in problems if item.level == level]
        table = pa.table(
            {
                "code": [item.task.reference for item in rows],
                "level": [level for _ in rows],
                "name": [item.name for item in rows],
                "problem_id": [item.number for item in rows],
            }
        )
        pq.write_table(table, folder / "data" / f"level_{level}-00000-of-00001.parquet")
    monkeypatch.chdir(tmp_path)
    found = kernelbench.from_hub("somebody/KernelBench")
    assert [item.id for item in found] == [item.id for item in problems]
    for one, other in zip(found, problems, strict=True):
        assert (one.number, one.marks, one.messages()) == (other.number, other.marks, other.messages())
        assert one.task.reference == other.task.reference and one.task.source.path == other.task.source.path


def test_kernelbench_that_cannot_be_reached_asks_for_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(BenchmarkMissingError, match=r"cannot read nobody/nothing.*level_1.*git clone"):
        kernelbench.load("nobody/nothing", [1])


def test_tritonbench_g_by_position(clone: Path) -> None:
    scale, shift = tritonbench.load(clone, "G")
    assert (scale.id, scale.level, scale.entry_point) == ("TritonBench_G/scale_op", 3, "scale")
    assert scale.called == ("scale", "Shifted") and scale.result == "result_gold"
    assert scale.gold.startswith("import triton\n") and "def test_" not in scale.gold
    assert scale.test.startswith("def test_scale():") and SEPARATOR not in scale.test
    assert "Scales a tensor." in scale.messages()[0]["content"]
    assert scale.messages("comp")[0]["content"].endswith("comp")
    assert (shift.called, shift.result) == ((), ""), "its test brings its own operator, and is never run"


def test_tritonbench_t_by_description(clone: Path) -> None:
    items = tritonbench.load(clone, "T")
    assert [(item.name, item.entry_point, item.called, item.result) for item in items] == [
        ("exp_sum", "exp_sum", ("exp_sum",), "test_results"),
        ("exp_sum_log", "exp_sum_log", ("exp_sum_log",), "output"),
        ("quantize", "quantize", ("custom",), "test_results_all"),
    ]
    assert "Sums exponentials." in items[0].messages()[0]["content"]
    assert items[0].messages()[0]["content"].endswith("simp")
    assert "#" * 103 in items[0].gold, "a shorter line of # separates nothing"


def test_tritonbench_files_that_do_not_belong_together_are_named(clone: Path) -> None:
    data = clone / "data"
    prompts = data / "TritonBench_G_comp_alpac_v1.json"
    rows = json.loads(prompts.read_text())
    prompts.write_text(json.dumps(rows[::-1]))
    with pytest.raises(BenchmarkMissingError, match=r"prompt 0 of .*comp.* does not ask for scale_op\.py"):
        tritonbench.load(clone, "G")
    prompts.write_text(json.dumps(rows[:1]))
    with pytest.raises(BenchmarkMissingError, match="1 prompts for 2 operators"):
        tritonbench.load(clone, "G")
    prompts.unlink()
    with pytest.raises(BenchmarkMissingError, match=r"there is no .*comp_alpac.*git clone"):
        tritonbench.load(clone, "G")
    (data / "TritonBench_T_v1" / "exp_sum.py").write_text("def exp_sum(x): ...\n")
    with pytest.raises(BenchmarkMissingError, match=r"exp_sum\.py has 0 lines of 146 #"):
        tritonbench.load(clone, "T")


def test_upstream_keeps_imports_and_functions_only() -> None:
    kept = upstream_filter(clones.GOLD)
    assert "BLOCK = 64" not in kept and "class Shifted" not in kept and "if True" not in kept
    assert kept.count("import math") == 2 and kept.index("import math") < kept.index("def ")
    assert kept.count("@triton.jit\ndef scale_kernel") == 1
    assert kept.count("\ndef apply(self, x):") == 1, "a method comes out at top level"
    assert kept.count("def grid(meta):") == 2, "a function in a function comes out twice"
    assert upstream_filter("no python (") == "no python ("


def test_upstream_answers_keep_what_follows_the_last_fence() -> None:
    assert upstream_answer("import torch<|EOT|>") == "import torch<|EOT|>"
    assert upstream_answer("a\n```python\nx = 1\n```\nb\n```python\ny = 2<|im_end|>\n```\n") == "\ny = 2\n```\n"
    assert upstream_filter(upstream_answer("```python\ny = 2\n```")) == "\ny = 2\n```", "the fence is no Python"


def test_runs_are_written_and_read_in_kernelbenchs_layout(
    tmp_path: Path, problems: list[kernelbench.KernelBenchItem]
) -> None:
    run = tmp_path / "runs" / "ours"
    run.mkdir(parents=True)
    (run / "level_1_problem_2_sample_0_kernel.py").write_text(clones.RIGHT)
    (run / "level_2_problem_9_sample_11_kernel.py").write_text("class ModelNew(:\n    '''```'''\n")
    (run / "level_1_problem_3_sample_0_kernel.py").write_text(clones.RIGHT)
    (run / "level_1_problem_x_kernel.py").write_text("")
    (run / "eval_results.json").write_text("{}")
    found = read_run(run, problems)
    assert [sample.key for sample in found.samples] == [
        ("KernelBench/level1/2_HalfReLU", 0),
        ("KernelBench/level2/9_Matmul", 11),
    ]
    assert found.unmatched == ("level_1_problem_3_sample_0_kernel.py", "level_1_problem_x_kernel.py")
    assert extract_kernel(found.samples[0].completion, "ModelNew") == clones.RIGHT
    counted = tally(found, problems)
    assert (counted.answers, counted.unmatched, counted.extracted, counted.parsed) == (4, 2, 2, 1)

    prose = found.samples[0].model_copy(update={"index": 1, "completion": "I cannot."})
    foreign = prose.model_copy(update={"task_id": "KernelBench/level1/99_Gone"})
    again = tmp_path / "runs" / "again"
    left_out = write_run(again, problems, [*found.samples, prose, foreign])
    assert left_out == (prose.key, foreign.key)
    assert sorted(path.name for path in again.iterdir()) == [
        "level_1_problem_2_sample_0_kernel.py",
        "level_2_problem_9_sample_11_kernel.py",
    ]
    assert read_run(again, problems).samples == found.samples
    with pytest.raises(BenchmarkMissingError, match="holds no level_<level>_problem"):
        read_run(tmp_path / "runs", problems)


def test_published_answers_find_their_items(clone: Path) -> None:
    items: list[TritonBenchItem] = tritonbench.load(clone, "G")
    gold = items[1].gold
    rows = [
        {"instruction": items[0].messages("comp")[0]["content"], "predict": clones.GOLD + "<|im_end|>", "label": ""},
        {"prompt": "Reworded.", "predict": "It cannot be done.", "label": gold[: len(gold) // 2] + "<|EOT|>"},
        {"prompt": "Scales a  \n tensor.", "predict": "```python\ndef scale(x):\n    return x\n```", "label": None},
        {"prompt": "Scales a tensor. Shifts a tensor.", "predict": "", "label": ""},
    ]
    path = clones.answers(clone / "LLM_generated" / "Bench_G" / "some_model.jsonl", rows)
    assert answer_files(clone) == [path]
    found = read_answers(path, items)
    assert [sample.key for sample in found.samples] == [
        ("TritonBench_G/scale_op", 0), ("TritonBench_G/shift_op", 0), ("TritonBench_G/scale_op", 1),
    ]  # fmt: skip
    assert found.unmatched == ("some_model.jsonl:4",)
    assert found.samples[0].completion == clones.GOLD
    assert len({sample.prompt for sample in found.samples}) == 3
    counted = tally(found, items)
    assert (counted.answers, counted.extracted, counted.parsed) == (4, 1, 1)
    assert sum(counted.reasons.values()) == 2 and all("`scale`" not in reason for reason in counted.reasons)


def test_answers_of_another_form_are_named(clone: Path) -> None:
    path = clones.answers(clone / "LLM_generated" / "a.jsonl", [{"question": "", "predict": ""}])
    with pytest.raises(BenchmarkMissingError, match=r"a\.jsonl, line 1: .*not question, predict"):
        read_answers(path, [])
    path.write_text('{"predict": \n')
    with pytest.raises(BenchmarkMissingError, match=r"a\.jsonl, line 1 is no JSON"):
        read_answers(path, [])
    with pytest.raises(BenchmarkMissingError, match="LLM_generated"):
        answer_files(clone / "data")
