"""A benchmark's published answers through `python -m eval`'s own steps and the real sandbox."""

import json
from pathlib import Path

import clones
import pytest
from test_evaluate import config_of

from eval.__main__ import run, stage
from eval.benchmarks import suite
from eval.samples import read_samples
from sandbox.references import FOLDER, names
from sandbox.types import Passed, Rejected

HUGE = clones.MODEL.replace("rand(8, 16)", "rand(1 << 17, 1 << 14)")


@pytest.mark.slow
def test_answers_in_files_are_judged_under_our_protocol(tmp_path: Path) -> None:
    clone = clones.kernelbench(tmp_path / "kb")
    (clone / "KernelBench" / "level1" / "10_Other.py").write_text(HUGE)
    folder = tmp_path / "runs" / "some_model"
    folder.mkdir(parents=True)
    answers = {"1_problem_2_sample_0": clones.RIGHT, "1_problem_2_sample_1": clones.POSITIVE_ONLY,
               "1_problem_10_sample_0": clones.RIGHT, "4_problem_1_sample_0": clones.RIGHT}  # fmt: skip
    for name, code in answers.items():
        (folder / f"level_{name}_kernel.py").write_text(code)
    config = config_of(
        tmp_path / "out", "eval.benchmark=kernelbench", f"eval.root={clone}", "eval.engine=files",
        f"eval.answers={folder}",
    )  # fmt: skip
    metrics = run(config)
    out = tmp_path / "out" / stage(config)
    assert stage(config) == "eval/kernelbench/files"
    found = read_samples(out / "samples.jsonl")
    verdicts = {index: found["KernelBench/level1/2_HalfReLU", index].verdict for index in (0, 1)}
    assert len(found) == 2 and isinstance(verdicts[0], Passed), verdicts[0]
    assert isinstance(verdicts[1], Rejected) and verdicts[1].stage == "numerics", "right for positive inputs only"
    assert (metrics.model, metrics.judged, metrics.passed) == ("files", 2, 1)
    assert metrics.families["level1"].pass_at_k["1"].value == 0.5
    left_out = json.loads((out / "left_out.json").read_text())
    assert (
        "MemoryError" in left_out["KernelBench/level1/10_Other"] or "memory" in left_out["KernelBench/level1/10_Other"]
    )
    assert left_out["KernelBench/level1/19_ReLU"] == "no file answers it"
    assert "somebody/some-model" in left_out["KernelBench/level4/1_Hub"]

    scores = json.loads((out / "scores.json").read_text())
    level = scores["level1"]
    assert (level["problems"], level["right"], level["speed"]) == (3, 1, {}), "19 and 23 unanswered, 10 not posed"
    assert level["pass_at_k"]["1"]["value"] == pytest.approx(0.5 / 3) and level["stages"]["numerics"]["value"] == 0.5
    assert scores["level1 without marked"]["problems"] == 1 and "level4" not in scores

    before = (out / "samples.jsonl").read_bytes()
    assert run(config) == metrics and (out / "samples.jsonl").read_bytes() == before


@pytest.mark.slow
def test_the_suite_is_posed_with_its_hidden_cases_and_its_experts_pass(tmp_path: Path) -> None:
    experts = FOLDER / "experts"
    answers = tmp_path / "answers"
    answers.mkdir()
    for name in ("ak9_softmax", "ssd_decode"):
        (answers / f"{name}.py").write_text((experts / f"{name}.py").read_text())
    (answers / "chron_swiglu.py").write_text("import os\n\n\ndef chron_swiglu(*inputs):\n    return inputs[0]\n")
    (answers / "notes.py").write_text("")
    config = config_of(tmp_path / "out", "eval.benchmark=suite", "eval.engine=files", f"eval.answers={answers}")
    metrics = run(config)
    out = tmp_path / "out" / stage(config)
    found = read_samples(out / "samples.jsonl")
    softmax = found["suite/ak9_softmax", 0].verdict
    assert isinstance(softmax, Passed) and {case.name for case in softmax.cases if case.hidden} == {
        "tiny_hidden", "tiny_hidden_long", "tiny_hidden_column",
    }  # fmt: skip
    assert isinstance(found["suite/ssd_decode", 0].verdict, Passed), "its task changes inputs in place"
    assert (metrics.judged, metrics.passed) == (3, 2)
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["all"]["problems"], scores["all"]["right"]) == (len(names()), 2), "what nobody answers is wrong"
    assert scores["all"]["refused_as_hack"]["value"] == pytest.approx(1 / 3)
    assert scores["all"]["speed"] == {} and not any("level" in name or "marked" in name for name in scores)


def test_the_suite_has_large_cases_for_a_gpu_and_small_hidden_ones() -> None:
    for large, small in zip(suite.load("gpu"), suite.load("cpu"), strict=True):
        task = large.task
        assert task.rehearsal and task.rehearsal[0] in small.task.cases and task.mutates == small.task.mutates
        assert task.hidden_cases == small.task.hidden_cases and all(case.hidden for case in task.hidden_cases)
        assert not any(case.hidden for case in task.cases) and task.cases != small.task.cases
        shown = "".join(message["content"] for message in large.messages())
        assert task.description in shown and "def make_inputs" not in shown and "def library" not in shown
        assert not any(case.name in shown for case in task.hidden_cases)


@pytest.mark.parametrize(
    "overrides",
    [["eval.engine=files"], ["eval.answers=there"], ["eval.root=there"], ["eval.engine=files", "eval.answers=there"]],
)
def test_half_a_configuration_is_refused(tmp_path: Path, overrides: list[str]) -> None:
    with pytest.raises(SystemExit, match="eval"):
        config_of(tmp_path, *overrides)
