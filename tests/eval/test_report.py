"""The report: complete, self-contained, honest about what is missing, and safe against what models write."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from make_run import make_run

from configs.errors import UsageError
from eval import story
from eval.gather import read_run
from eval.report import write_report

SECTIONS = ("pipeline", "evaluation", "training", "verdicts", "errors", "kernels", "data", "time")


class Page(HTMLParser):
    """Collects tags, attributes, ids and text; fails on tags that do not nest."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


@pytest.fixture
def out(tmp_path):
    make_run(tmp_path / "quickstart")
    return tmp_path / "quickstart"


def page_of(out) -> Page:
    return Page(write_report(out).read_text())


def test_page_is_complete(out):
    page = page_of(out)
    assert [i for i in page.ids if i in SECTIONS] == list(SECTIONS)
    assert len(page.ids) == len(set(page.ids)), "ids of the charts must not collide"
    assert sum(tag == "svg" for tag, _ in page.tags) == 4
    assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg")
    for words in (
        "15 Triton kernels were harvested",
        "BSD-2-Clause",
        "Liger".lower(),
        "There was no GPU",
        "0123456789ab",
    ):
        assert words in page.text


def test_page_is_self_contained(out):
    html = write_report(out).read_text()
    for tag, attributes in Page(html).tags:
        assert tag not in {"script", "link", "img", "iframe", "base", "form"}
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "url(http" not in html
    assert "@import" not in html
    assert not re.search(r"#a100\w\w", html), "a chart kept a stand-in colour instead of a CSS variable"


def test_what_models_write_is_escaped(out):
    shutil.rmtree(out / "eval" / "sft")  # its passed samples would be shown instead
    path = out / "eval" / "rl" / "samples.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    evil = "</code></pre><script>alert(2)</script>\0"
    for row in rows:
        row["completion"] = f"```python\n{evil}\ndef f(): pass\n```"
        row["verdict"] = {"kind": "rejected", "stage": "screen", "reason": evil}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = page_of(out)
    assert "script" not in [tag for tag, _ in page.tags]
    assert "alert(1)" in page.text
    assert "alert(2)" in page.text


@pytest.mark.parametrize("missing", ["data", "sft", "rl", "eval", "eval/base", "eval/sft", "eval/rl", "stages.json"])
def test_page_survives_a_missing_stage(out, missing):
    path = out / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = page_of(out)
    assert [i for i in page.ids if i in SECTIONS] == list(SECTIONS)
    results = json.loads((out / "results.json").read_text())
    expected = {"data": "No data has been gathered", "sft": "SFT has not run", "rl": "GRPO has not run"}
    assert expected.get(missing, "") in page.text
    assert (results["summary"]["sft_steps"] is None) == (missing == "sft")
    assert (results["summary"]["total_seconds"] is None) == (missing == "stages.json")


def test_empty_run_says_so(tmp_path):
    (tmp_path / "new").mkdir()
    page = page_of(tmp_path / "new")
    assert "has not been evaluated yet" in page.text
    assert page.text.count("not run") >= 6


def test_missing_run_names_the_cure(tmp_path):
    with pytest.raises(UsageError, match="python -m data_pipeline"):
        write_report(tmp_path / "nothing")


def test_damaged_file_is_named(out):
    (out / "rl" / "metrics.jsonl").write_text('{"step": 1, "reward": 0.1}\nbroken\n{"step": 2, "reward": 0.1}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl:2"):
        write_report(out)


def test_line_in_flight_is_left_out(out):
    (out / "rl" / "metrics.jsonl").write_text('{"step": 1, "reward": 0.1}\n{"step": 2, "rew')
    assert [point.step for point in read_run(out).rl_curves["reward"]] == [1]


def test_without_a_pass_nothing_is_embellished(tmp_path):
    make_run(tmp_path / "run", passes=False)
    page = page_of(tmp_path / "run")
    assert "No correct kernel yet" in page.text
    assert "No model wrote a correct kernel for a held-out task in this run" in page.text
    shown = page.text[page.text.index("Template compiler, training pair") - 60 :][:60]
    assert "scaled_elementwise" in shown, "a solution of a held-out task is no training pair"
    assert "Training helped" not in page.text


def test_headline_follows_the_numbers(out):
    run = read_run(out)
    assert story.headline(run).startswith(("Training helped", "No clear change"))
    swapped = {"base": run.metrics["rl"], "rl": run.metrics["base"]}
    worse = type(run)(**{**run.__dict__, "metrics": swapped})
    assert not story.headline(worse).startswith("Training helped")
    assert "went from 100 % to 0 %" in story.headline(worse)


def test_results_hold_the_summary(out):
    write_report(out)
    results = json.loads((out / "results.json").read_text())
    assert results["stamp"]["git"] == "0123456789ab"
    summary = results["summary"]
    assert summary["total_seconds"] == pytest.approx(862.9)
    assert summary["stage_seconds"]["SFT"] == 301.2
    assert (summary["harvested_kernels"], summary["admitted_tasks"], summary["eval_tasks"]) == (15, 10, 6)
    assert (summary["sft_steps"], summary["grpo_steps"], summary["parameters_changed"]) == (60, 4, 0.93)
    assert summary["pass_at_k"].keys() == {"base", "sft", "rl"}
    assert summary["pass_at_k"]["base"]["4"]["value"] == 0.0
