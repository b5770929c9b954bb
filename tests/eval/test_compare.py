"""Several evaluations in one page: complete, self-contained, and exact about what is alike and what differs.

Times are made up, as GPUs would leave them; they measure nothing.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import clones
import pytest
from make_run import make_run
from test_formulas import PASSED, timed
from test_report import Page

from configs.errors import UsageError
from configs.stamp import write_json
from eval.benchmarks.kernelbench import items as kernelbench
from eval.benchmarks.scores import scores
from eval.compare import compare
from eval.evaluated import differing, likeness, read_evaluated
from eval.metrics import measure
from eval.samples import Sample, read_samples, write_samples
from sandbox.types import Broken, Rejected, Verdict

EVIL = "import of '</td><script>alert(1)</script> | x' is not allowed; allowed are torch"
CONFIG = """
model: {{name: {model}}}
device: cpu
eval: {{benchmark: kernelbench, engine: {engine}, model: base, temperature: 0.0, endpoint: {{model: {model}}}}}
sandbox: {{gpus: 1}}
"""


@pytest.fixture
def items(tmp_path: Path) -> list[kernelbench.KernelBenchItem]:
    return kernelbench.load(str(clones.kernelbench(tmp_path / "clone")))[:6]


def write(
    folder: Path, items: list[kernelbench.KernelBenchItem], verdicts: list[Verdict], *, engine: str = "vllm",
    model: str = "small", gpu: str = "1 x GPU",
) -> Path:  # fmt: skip
    """A folder such as `python -m eval` leaves; verdicts in the order of the items."""
    samples = [
        Sample(task_id=item.id, index=0, prompt="p", completion=str(n), truncated=False, tokens=1, verdict=verdict)
        for n, (item, verdict) in enumerate(zip(items, verdicts, strict=True))
    ]
    write_samples(folder / "samples.jsonl", samples)
    metrics = measure("base", samples, {item.id: item.family for item in items}, (1,))
    write_json(folder / "metrics.json", metrics.model_dump(mode="json"))
    found = {name: one.model_dump(mode="json") for name, one in scores(items, samples, []).items()}
    write_json(folder / "scores.json", found)
    write_json(folder / "left_out.json", {"KernelBench/level4/1_Hub": "needs a model"})
    write_json(folder / "stamp.json", {"gpu": gpu, "torch": "2.11"})
    (folder / "config.yaml").write_text(CONFIG.format(model=model, engine=engine))
    return folder


def verdicts(*ratios: float) -> list[Verdict]:
    """Right answers of these speedups, then a hack and wrong ones up to six."""
    right = [timed(("a", "eager", ratio), ("a", "compile", ratio / 2)) for ratio in ratios]
    rest = [Rejected(stage="screen", reason=EVIL), *[Rejected(stage="numerics", reason="wrong")] * 6]
    return [*right, *rest][:6]


def test_page_and_tables_are_complete_and_self_contained(tmp_path: Path, items) -> None:
    folders = [
        write(tmp_path / "a", items, verdicts(2.0, 4.0)),
        write(tmp_path / "b", items, verdicts(1.0), gpu="none"),
    ]
    make_run(tmp_path / "run")
    heldout = tmp_path / "run" / "eval" / "sft"
    (heldout / "config.yaml").write_text(CONFIG.format(model="other", engine="vllm").replace("kernelbench", "heldout"))
    upstream = {"level1": {"right": 3, "speed": {"eager": {"fast_p": {"1.0": 0.25}}}}}
    (folders[0] / "upstream.json").write_text(json.dumps({"figures": upstream}))
    compare([*folders, heldout], tmp_path / "out")
    written = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [run["name"] for run in written["runs"]] == ["R1", "R2", "R3"], written["runs"]
    assert written["summary"] and all(pair["first"] == "R1" for pair in written["summary"])
    html = (tmp_path / "out" / "report.html").read_text()
    page = Page(html)
    assert [i for i in page.ids if i in ("kernelbench", "heldout", "hosts")] == ["kernelbench", "heldout", "hosts"]
    assert len(page.ids) == len(set(page.ids))
    assert sum(tag == "svg" for tag, _ in page.tags) == 6 + 2, "pass@k and stages; with times, two a baseline"
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "img", "iframe", "base", "form"}
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "#a100" not in html and "url(http" not in html
    text = (tmp_path / "out" / "report.md").read_text()
    assert "<script>" not in text and text.count("alert(1)") >= 2
    assert "| R1, eager | 6 | 2.83× [2.00–4.00] |" in text.replace("  ", " ")
    assert "| level1.right | 3 | 2 |" in text, "upstream's figure beside ours of the same name"
    assert "| level1.speed.eager.fast_p.1.0 | 0.25 | 0.5 [" in text
    assert "R2 upstream" not in text, "no column where upstream's protocol was not run"
    assert "| stamp.gpu | 1 x GPU | none |" in text
    assert "forbidden import" in page.text and "2 × forbidden import" in page.text
    for words in ("R1, small base, vllm, temperature 0: 33 %", "family elementwise", "all without marked"):
        assert words in page.text and words in text
    assert "times the speed of the faster of the baselines" in page.text


def test_equal_and_unequal_runs_are_told_apart(tmp_path: Path, items) -> None:
    first = read_evaluated(write(tmp_path / "a", items, verdicts(2.0, 4.0)), "R1")
    same = read_evaluated(write(tmp_path / "b", items, verdicts(2.0, 4.0), engine="openai"), "R2")
    found = likeness(first, same)
    assert (found.samples, found.equal_completions, found.equal_verdicts) == (6, 6, 6)
    assert found.sentence().startswith("R1 and R2: all 6 completions are equal, and all 6 verdicts.")
    assert "differs by +0.0 points" in found.sentence() and "within sampling noise" in found.sentence()
    assert differing([first, same]) == [("eval.engine", ["vllm", "openai"])]

    other = write(tmp_path / "c", items, [PASSED] * 6)
    rows = list(read_samples(other / "samples.jsonl").values())
    write_samples(other / "samples.jsonl", [rows[0].model_copy(update={"completion": "other"}), *rows[1:]])
    far = likeness(read_evaluated(write(tmp_path / "d", items, verdicts()), "R1"), read_evaluated(other, "R3"))
    assert (far.equal_completions, far.equal_verdicts) == (5, 0)
    assert "+100.0 points" in far.sentence() and "beyond sampling noise" in far.sentence()

    write_samples(other / "samples.jsonl", [row.model_copy(update={"prompt": "q"}) for row in rows])
    assert likeness(first, read_evaluated(other, "R3")).sentence() == "R1 and R3: no prompt in common."


def test_without_times_nothing_is_said_about_speed(tmp_path: Path, items) -> None:
    compare([write(tmp_path / "a", items, [PASSED] * 3 + verdicts()[:3])], tmp_path / "out")
    page = Page((tmp_path / "out" / "report.html").read_text())
    assert "nothing is said about speed" in page.text and "Nothing was timed." in page.text
    assert "speedup over" not in page.text and sum(tag == "svg" for tag, _ in page.tags) == 2
    assert "## Speed" not in (tmp_path / "out" / "report.md").read_text()


def test_an_unfinished_evaluation_is_named(tmp_path: Path, items) -> None:
    folder = write(tmp_path / "a", items, verdicts())
    (folder / "metrics.json").unlink()
    command = [sys.executable, "-m", "eval.compare", str(folder), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2 and "metrics.json" in done.stderr and "python -m eval" in done.stderr
    with pytest.raises(ValueError, match="no judged answer"):
        compare([write(tmp_path / "broken", items, [Broken(reason="ours")] * 6)], tmp_path / "out")
    shutil.rmtree(folder)
    with pytest.raises(UsageError, match="metrics"):
        compare([folder], tmp_path / "out")
