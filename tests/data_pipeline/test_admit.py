"""Admission: only passes become data, refusals are kept, our own faults are not, and nothing is judged twice."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from configs.schema import Config, GitConfig, HubConfig
from configs.stages import OtherSettingsError
from configs.stamp import stamp, write_json
from data_pipeline import look
from data_pipeline.admit import Admitter, SandboxBrokenError
from data_pipeline.build import build
from data_pipeline.ledger import Ledger
from data_pipeline.probe import Probe, Prober, Quality
from data_pipeline.screening import screen
from data_pipeline.store import load_pairs, load_tasks
from data_pipeline.synthetic import propose
from data_pipeline.task import Task
from data_pipeline.verify import Judging, verify
from sandbox.types import Broken, CaseResult, Job, Limits, Passed, Rejected

Pair = tuple[Task, str]


class FakeSandbox:
    """A sandbox whose verdicts the test decides: by the job's candidate source."""

    def __init__(self, verdicts: dict[str, list[Passed | Rejected | Broken]] | None = None) -> None:
        self.verdicts = verdicts or {}
        self.jobs: list[Job] = []
        self.running = self.most_running = 0
        self.stop_after: int | None = None

    async def run(self, job: Job) -> Passed | Rejected | Broken:
        if self.stop_after is not None and len(self.jobs) >= self.stop_after:
            raise OSError("the host goes down")
        self.jobs.append(job)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        planned = self.verdicts.get(job.candidate)
        return planned.pop(0) if planned else passed(job)


def passed(job: Job) -> Passed:
    results = [
        CaseResult(name=c.name, hidden=c.hidden, distribution=c.distribution, rel_l2=0.0, limit_share=0.1, launches=1)
        for c in job.cases
    ]
    return Passed(cases=tuple(results))


async def all_worthy(tasks: list[Task]) -> list[Quality]:
    """In place of the quality process, where a test is about verdicts."""
    return [Quality(task_id=task.id, reason=None) for task in tasks]


def run_admission(
    pairs: list[Pair], sandbox: FakeSandbox, folder: Path, concurrency: int = 3, probe: Probe = all_worthy
) -> int:
    ledger = Ledger(folder / "ledger.sqlite")
    try:
        ledger.propose(pairs)
        screen(ledger, None)
        return asyncio.run(Admitter(ledger, sandbox, Judging(), concurrency, probe).run())
    finally:
        ledger.close()


def states(folder: Path) -> dict[tuple[str, ...], int]:
    ledger = Ledger(folder / "ledger.sqlite")
    try:
        return ledger.count("state", "refused_by")
    finally:
        ledger.close()


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return list(propose(12, seed=0))


def test_passes_are_admitted_and_refusals_kept(pairs: list[Pair], tmp_path: Path) -> None:
    wrong = pairs[2][1]
    sandbox = FakeSandbox({wrong: [Rejected(stage="numerics", reason="off by one", log="trace")]})
    assert run_admission(pairs, sandbox, tmp_path) == 12
    assert states(tmp_path) == {("admitted", ""): 11, ("refused", "numerics"): 1}
    ledger = Ledger(tmp_path / "ledger.sqlite")
    (refused,) = ledger.rows("refused")
    ledger.close()
    assert (refused.id, refused.reason) == (pairs[2][0].id, "off by one\ntrace")
    assert 1 < sandbox.most_running <= 3


def test_nothing_is_judged_twice(pairs: list[Pair], tmp_path: Path) -> None:
    run_admission(pairs[:5], FakeSandbox({pairs[0][1]: [Rejected(stage="screen", reason="no")]}), tmp_path)
    again = FakeSandbox()
    assert run_admission(pairs, again, tmp_path) == len(again.jobs) == 7
    assert states(tmp_path) == {("admitted", ""): 11, ("refused", "screen"): 1}


def test_resumes_after_an_interruption(pairs: list[Pair], tmp_path: Path) -> None:
    sandbox = FakeSandbox()
    sandbox.stop_after = 4
    with pytest.raises(ExceptionGroup):
        run_admission(pairs, sandbox, tmp_path, concurrency=1)
    assert states(tmp_path) == {("admitted", ""): 4, ("clean", ""): 8}, "every verdict was on disk before the next"
    resumed = FakeSandbox()
    assert run_admission(pairs, resumed, tmp_path) == len(resumed.jobs) == 8
    assert states(tmp_path) == {("admitted", ""): 12}


def test_broken_is_retried_and_never_stored(pairs: list[Pair], tmp_path: Path) -> None:
    once, always = pairs[0][1], pairs[1][1]
    sandbox = FakeSandbox({once: [Broken(reason="lost")], always: [Broken(reason="lost")] * 99})
    assert run_admission(pairs, sandbox, tmp_path) == 11
    assert states(tmp_path) == {("admitted", ""): 11, ("clean", ""): 1}
    assert run_admission(pairs, FakeSandbox(), tmp_path) == 1


def test_a_broken_sandbox_stops_the_run(tmp_path: Path) -> None:
    many = list(propose(30, seed=0))
    sandbox = FakeSandbox({code: [Broken(reason="no namespaces")] * 9 for _, code in many})
    with pytest.raises(SandboxBrokenError, match="no namespaces"):
        run_admission(many, sandbox, tmp_path)
    assert states(tmp_path) == {("clean", ""): 30}


def test_a_worthless_task_never_reaches_the_sandbox(pairs: list[Pair], tmp_path: Path) -> None:
    task, code = pairs[0]
    constant = task.model_copy(
        update={"id": "c", "reference": task.reference + "\n\ndef fused_op(*x):\n    return x[0] * 0\n"}
    )
    sandbox = FakeSandbox()
    with Prober(workers=1) as probe:
        run_admission([(constant, code)], sandbox, tmp_path, probe=probe)
    assert states(tmp_path) == {("refused", "quality"): 1} and sandbox.jobs == []


def test_a_reference_alone_is_admitted_without_a_verdict(pairs: list[Pair], tmp_path: Path) -> None:
    async def second_is_dull(tasks: list[Task]) -> list[Quality]:
        return [Quality(task_id=t.id, reason="dull" if t.id == pairs[1][0].id else None) for t in tasks]

    sandbox = FakeSandbox()
    alone = [(pairs[0][0], ""), (pairs[1][0], ""), pairs[2]]
    assert run_admission(alone, sandbox, tmp_path, probe=second_is_dull) == 3
    assert states(tmp_path) == {("admitted", ""): 2, ("refused", "quality"): 1}
    assert [job.candidate for job in sandbox.jobs] == [pairs[2][1]]


def test_verify_extracts_then_asks_with_all_cases(pairs: list[Pair]) -> None:
    task, code = pairs[0]
    sandbox = FakeSandbox()
    judging = Judging(targets=("sm_90",), limits=Limits(run_seconds=3))
    verdict = asyncio.run(verify(task, f"Here:\n```python\n{code}```", sandbox, judging))
    assert isinstance(verdict, Passed)
    job = sandbox.jobs[0]
    assert job.candidate == code and job.cases == task.cases + task.hidden_cases
    assert (job.targets, job.limits.run_seconds) == (("sm_90",), 3)
    verdict = asyncio.run(verify(task, "no code", sandbox, judging))
    assert isinstance(verdict, Rejected) and verdict.stage == "extract" and len(sandbox.jobs) == 1


def test_build_splits_by_family(tmp_path: Path, config: Config) -> None:
    summary = asyncio.run(build(config, FakeSandbox()))
    folder = tmp_path / "data"
    train, heldout = load_tasks(folder, "train"), load_tasks(folder, "heldout")
    assert {t.family for t in heldout} == {"softmax", "normalisation"} and len(heldout) == 4
    assert not {t.family for t in train} & {"softmax", "normalisation"} and train
    assert {task.split for task, _ in load_pairs(folder, "train")} == {"train"}
    assert summary.splits == {"train": len(train), "heldout": 4}
    assert sum(summary.refused.values()) + summary.admitted_tasks == summary.proposed_tasks == 24
    again = asyncio.run(build(config, FakeSandbox()))
    assert again.judged_now == 0 and again.families == summary.families
    other = config.model_copy(update={"data": config.data.model_copy(update={"seed": 5})})
    with pytest.raises(OtherSettingsError, match="seed"):
        asyncio.run(build(other, FakeSandbox()))


def test_what_was_made_can_be_looked_at(tmp_path: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert look.main(["stats", "--out", str(tmp_path)]) == 1 and "python -m data_pipeline" in capsys.readouterr().out
    wrong = next(propose(1, seed=config.data.seed))
    asyncio.run(build(config, FakeSandbox({wrong[1]: [Rejected(stage="numerics", reason="off by one")]})))
    assert look.main(["stats", "--out", str(tmp_path)]) == 0
    assert "numerics" in capsys.readouterr().out
    assert look.main(["show", wrong[0].id[:-3], "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "off by one" in shown and "@triton.jit" in shown and "def make_inputs" in shown
    assert look.main(["show", "nothing", "--out", str(tmp_path)]) == 1
    assert look.main(["export", str(tmp_path / "copy"), "--out", str(tmp_path)]) == 0
    card = (tmp_path / "copy" / "README.md").read_text()
    assert "| task | synthetic | refused | numerics | 1 |" in card and "histograms.png" in card
    write_json(tmp_path / "data" / "stamp.json", stamp())  # as the command does before it builds
    assert look.main(["report", str(tmp_path / "report.json"), "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["summary"]["synthetic_admitted"] == 23 and report["summary"]["refused_by_reason"]["numerics"] == 1
    assert report["summary"]["pairs_per_second"] > 0 and report["summary"]["peak_rss_mib"] > 10
    assert [(row["origin"], row["proposed"], row["admitted"]) for row in report["sources"]] == [("synthetic", 24, 23)]
    assert load_tasks(tmp_path / "copy") == load_tasks(tmp_path / "data")


def test_every_source_is_collected_counted_and_watched(tmp_path: Path, config: Config) -> None:
    repository, rows = tmp_path / "kernels", tmp_path / "rows.jsonl"
    repository.mkdir()
    (repository / "k.py").write_text("import triton\n\n@triton.jit\ndef k(X):\n    tl.store(X, 1)\n\nk[(1,)](x)\n")
    (repository / "LICENSE").write_text("MIT License\n")
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q", "-b", "trunk"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], check=True)
    code = "import torch\n\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return torch.{0}(x, -1)\n"
    named = [("softmax", "MIT"), ("cumsum", "MIT"), ("cumprod", "GPL-3.0")]
    rows.write_text("".join(json.dumps(
        {"entry_point": "Model", "python_code": code.format(name), "triton_code": "", "licenses": [licence]}
    ) + "\n" for name, licence in named))  # fmt: skip
    data = config.data.model_copy(update={
        "git": (GitConfig(url=str(repository), revision="trunk"),),
        "hub": (HubConfig(name=str(rows), format="kernelbook"),),
    })  # fmt: skip
    seen: list[tuple[int, int]] = []
    config = config.model_copy(update={"data": data})
    summary = asyncio.run(build(config, FakeSandbox(), lambda *counts: seen.append(counts), all_worthy))
    assert summary.admitted_by_source == {f"git:{repository}": 1, f"hub:{rows}": 2, "synthetic": 24}
    assert summary.refused_by_source == {f"hub:{rows}": {"licence": 1}}
    kept = {name: {task.source.origin: task.family for task in load_tasks(tmp_path / "data", name)}
            for name in ("train", "heldout")}  # fmt: skip
    assert kept["train"][f"hub:{rows}"] == "scan", "softmax is held out, wherever it comes from"
    assert summary.without_solution == 1, "of the held-out family, two others came first"
    assert summary.with_solution == len(load_pairs(tmp_path / "data", None)) == sum(summary.splits.values()) - 1
    assert seen[-1] == (28, 28) and seen == sorted(seen)
    assert f"and {summary.without_solution} without a solution" in (tmp_path / "data" / "README.md").read_text()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    from hydra import compose, initialize_config_dir

    from configs.main import validate

    folder = Path(__file__).parents[2] / "configs"
    changes = [
        "experiment=quickstart", f"out={tmp_path}", "data.packages=[]",
        "data.synthetic_tasks=24", "data.heldout_tasks=2", "data.heldout_families=[softmax,normalisation]",
    ]  # fmt: skip
    with initialize_config_dir(str(folder), version_base="1.3"):
        return validate(compose("config", changes))


def test_unknown_heldout_family_is_named(tmp_path: Path, config: Config) -> None:
    data = config.data.model_copy(update={"heldout_families": ("sofmax",)})
    with pytest.raises(ValueError, match="sofmax"):
        asyncio.run(build(config.model_copy(update={"data": data}), FakeSandbox()))
