"""A benchmark's published answers through `python -m eval`'s own steps and the real sandbox."""

import json
from pathlib import Path

import clones
import pytest
from test_evaluate import config_of

from eval.__main__ import run, stage
from eval.samples import read_samples
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
    assert scores["level1"] == {"problems": 3, "right": 1, "speed": {}}, "19 and 23 are unanswered, 10 is not posed"
    assert scores["level1 without marked"]["problems"] == 1 and "level4" not in scores

    before = (out / "samples.jsonl").read_bytes()
    assert run(config) == metrics and (out / "samples.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "overrides",
    [["eval.engine=files"], ["eval.answers=there"], ["eval.root=there"], ["eval.engine=files", "eval.answers=there"]],
)
def test_half_a_configuration_is_refused(tmp_path: Path, overrides: list[str]) -> None:
    with pytest.raises(SystemExit, match="eval"):
        config_of(tmp_path, *overrides)
