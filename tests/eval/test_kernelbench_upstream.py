"""KernelBench's protocol, run by us: verdicts, faults, isolation; and the candidates of tests/kernelbench_run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kernelbench_small as small
import pytest

from eval.benchmarks.kernelbench.agreement import notes
from eval.benchmarks.kernelbench.references import Posable, examined
from eval.benchmarks.kernelbench.upstream import Protocol, UpstreamVerdict, judge
from eval.kernelbench import CANDIDATES
from sandbox.local import LocalSandbox
from sandbox.task_file import MODEL_CASES
from sandbox.types import TOLERANCES, Broken, Job, Passed, Rejected

LINEAR = small.source(small.Small("return self.layer(x)", "torch.rand(9, 5)", "self.layer = nn.Linear(a, b)", "5, 3"))
ANSWER = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self, width, wide):
        super().__init__()
        {init}
        self.layer = nn.Linear(width, wide)

    def forward(self, x):
        {forward}
"""
SOFTMAX = """
import torch
import triton
import triton.language as tl

@triton.jit
def k(x_ptr, y_ptr, cols, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + tl.program_id(0) * cols + at, mask=at < cols, other=-float("inf"))
    e = tl.exp(x - tl.max(x))
    tl.store(y_ptr + tl.program_id(0) * cols + at, e / tl.sum(e), mask=at < cols)

class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        k[(x.shape[0],)](x, y, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
        return y
"""


def said(forward: str = "return self.layer(x)", init: str = "pass", reference: str = LINEAR, seconds: float = 100.0):
    return judge(reference, ANSWER.format(forward=forward, init=init), Protocol(), seconds=seconds)


@pytest.mark.slow
def test_what_is_right_is_right_five_times_and_never_timed_on_a_cpu() -> None:
    verdict = said()
    assert isinstance(verdict, UpstreamVerdict) and verdict.correct and verdict.compiled and verdict.trials_right == 5
    assert verdict.candidate is None and verdict.baselines == {} and verdict.speedups == {}
    assert "landlock" in verdict.jail and verdict.stamp["gpu"] == "none"
    slightly = said("return self.layer(x) + 5e-5")
    assert isinstance(slightly, UpstreamVerdict) and slightly.correct


@pytest.mark.slow
@pytest.mark.parametrize(
    ("forward", "init", "reason", "trials"),
    [
        ("return self.layer(x) + 1e-2", "pass", "differs from the reference's by up to 0.01", 0),
        ("return self.layer(x)[:1]", "pass", "the output has shape (1, 3), not (9, 3)", 0),
        ("return (self.layer(x),)", "pass", "AttributeError", 0),
        ("return self.layer(x).double()", "pass", "RuntimeError", 0),
        ("return self.layer(x)", "torch.rand(1)", "differs", 0),
        ("raise SystemExit(0)", "pass", "SystemExit", 0),
        ("import os; os._exit(0)", "pass", "it ended the process: exit code 0", 0),
        ("import os; os.kill(os.getpid(), 11)", "pass", "it ended the process: exit code -11", 0),
        ("return self.layer(x)", "open('/etc/kernelwright', 'w')", "Permission", 0),
        ("self.n = getattr(self, 'n', 0) + 1; return self.layer(x) + self.n // 4", "pass", "differs", 3),
    ],
)
def test_what_is_wrong_is_told(forward: str, init: str, reason: str, trials: int) -> None:
    verdict = said(forward, init)
    assert isinstance(verdict, UpstreamVerdict) and not verdict.correct and reason in verdict.reason
    assert verdict.trials_right == trials


@pytest.mark.slow
def test_what_hangs_is_given_up_and_what_does_not_load_does_not_compile() -> None:
    hanging = said("import time; time.sleep(1000)", seconds=20)
    assert isinstance(hanging, UpstreamVerdict) and "no answer in 20 s" in hanging.reason
    verdict = judge(LINEAR, "import nothing_like_it", Protocol())
    assert isinstance(verdict, UpstreamVerdict) and not verdict.compiled and "ModuleNotFoundError" in verdict.reason


@pytest.mark.slow
def test_forged_and_lost_replies_are_no_verdicts() -> None:
    reply = json.dumps({"verdict": {"correct": "perhaps"}})
    forged = said(f"""import contextlib, os
        for fd in range(3, 1024):
            with contextlib.suppress(OSError):
                os.write(fd, b'[1]\\n{reply}\\n')
        os._exit(0)""")
    assert isinstance(forged, UpstreamVerdict) and "it forged a reply" in forged.reason
    killed = said("import os; os.kill(os.getpid(), 9)")
    assert isinstance(killed, Broken) and "exit code -9" in killed.reason


@pytest.mark.slow
def test_a_reference_that_fails_is_nobodys_wrong_answer() -> None:
    broken = said(reference=LINEAR.replace("self.layer(x)", "self.later(x)"))
    assert isinstance(broken, Broken) and "later" in broken.reason
    late = LINEAR.replace(
        "return self.layer(x)",
        "self.n = getattr(self, 'n', 0) + 1\n        "
        "if self.n > 2:\n            raise RuntimeError('no memory')\n        return self.layer(x)",
    )
    verdict = said(reference=late)
    assert isinstance(verdict, Broken) and "no memory" in verdict.reason


@pytest.mark.slow
def test_integers_stay_integers() -> None:
    reference = small.source(
        small.Small("return torch.nn.functional.cross_entropy(x, y)", "torch.rand(9, 5), torch.rand(9).mul(5).long()")
    )
    forward = "return torch.nn.functional.cross_entropy(x, y)"
    code = (
        ANSWER.replace("width, wide", "*none").replace("self.layer = nn.Linear(*none)", "pass").replace("x):", "x, y):")
    )
    for precision in ("fp32", "bf16"):
        verdict = judge(reference, code.format(forward=forward, init="pass"), Protocol(precision=precision))
        assert isinstance(verdict, UpstreamVerdict) and verdict.correct, verdict


@pytest.mark.slow
def test_every_candidate_is_right_and_every_wrong_one_is_not(tmp_path: Path) -> None:
    command = [sys.executable, small.__file__, str(CANDIDATES), str(tmp_path)]
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(CANDIDATES.parent.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    right = {name: result for name, result in found.items() if "wrong" not in name}
    assert all(result == [5, ""] for result in right.values()), right
    wrong = {name: trials for name, (trials, _) in found.items() if "wrong" in name}
    assert len(wrong) == len(notes(CANDIDATES)["wrong"]) and all(trials < 5 for trials in wrong.values()), wrong


def test_every_candidate_is_tested_and_there_are_enough_of_each_level() -> None:
    files = {path.name for path in CANDIDATES.glob("*.py")}
    assert files == {small.file(key) for key in small.SMALL} and len(files) >= 20
    assert set(notes(CANDIDATES)["small"]) == {small.named(key) for key in small.SMALL}
    levels = [level for level, _ in small.SMALL]
    assert levels.count(1) >= 10 and levels.count(2) >= 7 and levels.count(3) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("key", [(1, 6), (1, 14), (1, 40), (2, 62), (2, 76), (3, 1), (3, 43), (3, 44), (3, 50)])
def test_the_sandbox_takes_them_too(sandbox: LocalSandbox, key: tuple[int, int]) -> None:
    job = Job(
        reference=small.source(small.SMALL[key]), candidate=(CANDIDATES / small.file(key)).read_text(),
        entry_point="ModelNew", cases=MODEL_CASES, tolerance=TOLERANCES["T32"], timing=None, targets=("sm_90",),
        policy="mixed" if key in ((3, 43), (3, 44), (3, 50)) else "triton_only",
    )  # fmt: skip
    verdict = sandbox.judge(job)
    assert isinstance(verdict, Passed), verdict
    if key == (3, 44):
        assert isinstance(sandbox.judge(job.model_copy(update={"policy": "triton_only"})), Rejected)


def test_what_is_right_for_small_inputs_only_is_wrong_in_our_sandbox(sandbox: LocalSandbox) -> None:
    reference = small.source(small.Small("return torch.softmax(x, dim=1)", "torch.rand(4, 30)"))
    job = Job(
        reference=reference, candidate=SOFTMAX, entry_point="ModelNew", cases=MODEL_CASES,
        tolerance=TOLERANCES["T32"], timing=None,
    )  # fmt: skip
    assert isinstance(sandbox.judge(job), Passed)
    overflows = job.model_copy(update={"candidate": SOFTMAX.replace("tl.exp(x - tl.max(x))", "tl.exp(x)")})
    assert isinstance(sandbox.judge(overflows), Rejected)


def test_tuples_reach_a_constructor_as_tuples(sandbox: LocalSandbox) -> None:
    candidate = (CANDIDATES / small.file((1, 88))).read_text().replace(
        "    def forward", "    def __init__(self, shape):\n        super().__init__()\n        "
        "assert type(shape) is tuple and type(shape[1]) is list\n\n    def forward")  # fmt: skip
    problem = small.SMALL[1, 88]._replace(arguments="(3, [4])")
    job = Job(
        reference=small.source(problem), candidate=candidate, entry_point="ModelNew", cases=MODEL_CASES,
        tolerance=TOLERANCES["T32"], timing=None,
    )  # fmt: skip
    verdict = sandbox.judge(job)
    assert isinstance(verdict, Passed), verdict


@pytest.mark.slow
def test_references_go_through_the_judges_steps_and_one_that_dies_is_named() -> None:
    sources = {
        "good": LINEAR,
        "dies": "import os; os._exit(5)",
        "raises": LINEAR.replace("self.layer(x)", "y"),
        "too": LINEAR,
    }
    problems = [
        Posable(name=name, reference=source, cases=MODEL_CASES)
        for name, source in sources.items()
    ]  # fmt: skip
    rows = {row["name"]: row for row in examined(problems)}
    assert list(rows) == list(sources)
    assert rows["good"]["ran"] and 0 < rows["good"]["rel_l2"] < 1e-5 and rows["too"]["ran"]
    assert not rows["dies"]["ran"] and "exit code 5" in rows["dies"]["reason"]
    assert not rows["raises"]["ran"] and "NameError" in rows["raises"]["reason"]
