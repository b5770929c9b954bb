"""Upstream's protocol on a finished evaluation: what it accepts and ours does not, and nothing is run twice."""

import json
from pathlib import Path

import clones
import pytest
from rich.console import Console
from test_evaluate import config_of

from configs.stamp import write_json
from eval.__main__ import run, stage
from eval.benchmarks.tritonbench import items as tritonbench
from eval.compare import compare
from eval.upstream import evaluate, main


def evaluated(out: Path, *overrides: str) -> Path:
    """The folder of an evaluation, with the files that `python -m eval` writes before it begins."""
    config = config_of(out, "eval.engine=files", *overrides)
    run(config)
    folder = out / stage(config)
    write_json(folder / "stamp.json", {"git": "x"})
    (folder / "config.yaml").write_text(json.dumps(config.model_dump(mode="json")))  # JSON is YAML
    return folder


@pytest.mark.slow
def test_kernelbench_accepts_what_is_right_for_positive_inputs_only(tmp_path: Path) -> None:
    clone = clones.kernelbench(tmp_path / "kb")
    answers = tmp_path / "runs"
    answers.mkdir()
    (answers / "level_1_problem_2_sample_0_kernel.py").write_text(clones.POSITIVE_ONLY)
    (answers / "level_1_problem_19_sample_0_kernel.py").write_text("def ModelNew():\n    return None\n")
    folder = evaluated(tmp_path / "out", "eval.benchmark=kernelbench", f"eval.root={clone}", f"eval.answers={answers}")
    figures = evaluate(folder, Console())
    ours = json.loads((folder / "scores.json").read_text())["level1"]
    theirs = figures["level1"]
    assert (theirs["problems"], theirs["right"]) == (ours["problems"], 1) and ours["right"] == 0, "not on negative ones"
    assert theirs["speed"] == {}, "interpreter time is never presented as speed"
    kept = (folder / "upstream.jsonl").read_bytes()
    assert evaluate(folder, Console()) == figures and (folder / "upstream.jsonl").read_bytes() == kept
    compare([folder], tmp_path / "page")
    assert "| level1.right | 1 | 0 |" in (tmp_path / "page" / "report.md").read_text()


@pytest.mark.slow
def test_tritonbench_has_call_and_execution_accuracy(tmp_path: Path) -> None:
    clone = clones.runnable(tmp_path / "clone")
    asked = {item.name: item.messages()[0]["content"] for item in tritonbench.load(clone, "G")}
    rows = [{"instruction": asked["double_op"], "predict": clones.DOUBLE.replace("x * 2", "x * 3")},
            {"instruction": asked["double_op"], "predict": clones.DOUBLE}]  # fmt: skip
    answers = clones.answers(tmp_path / "answers.jsonl", rows)
    folder = evaluated(
        tmp_path / "out", "eval.benchmark=tritonbench_g", f"eval.root={clone}", f"eval.answers={answers}",
        "eval.samples=2", "eval.pass_k=[1]",
    )  # fmt: skip
    figures = evaluate(folder, Console())["all"]
    assert figures["right"] == 1 and figures["call_accuracy"] == figures["execution_accuracy"] > 0
    assert figures["results_agree"] == 0, "the first answer calls, and is wrong"


def test_a_folder_without_an_evaluation_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "config.yaml" in "".join(capsys.readouterr().err.split())
