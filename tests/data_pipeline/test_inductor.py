"""The Inductor source: generated code of our own references becomes plain candidates that the sandbox passes."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipeline import capture
from data_pipeline.inductor.rewrite import NotCleanError
from data_pipeline.prompt import render_answer
from data_pipeline.sources.inductor import Captured, candidate, inductor, reasons
from data_pipeline.synthetic import propose
from data_pipeline.verify import Judging, verify
from sandbox.local import LocalSandbox
from sandbox.types import Passed, Rejected

FIXTURES = Path(__file__).parent / "inductor"
"""Inductor's output for our own references, as `data_pipeline.capture` writes it."""
PRIVATE = "torch._inductor triton_helpers tl_math async_compile empty_strided assert_size stream ks0 xnumel".split()


def fixture(name: str) -> Captured:
    return Captured.model_validate_json((FIXTURES / f"{name}.json").read_text())


def test_the_sandbox_passes_what_was_cleaned_on_all_cases(sandbox: LocalSandbox) -> None:
    pairs = [(task, code) for task, code in inductor(FIXTURES) if code]
    assert len(pairs) == len(list(FIXTURES.glob("*.json"))) - 1  # all but the matrix product

    async def judge() -> list[object]:
        return list(await asyncio.gather(*(verify(t, render_answer(c), sandbox, Judging()) for t, c in pairs)))

    for (task, code), verdict in zip(pairs, asyncio.run(judge()), strict=True):
        assert isinstance(verdict, Passed), f"{task.source.path}: {verdict}\n{code}"
        assert len(verdict.cases) == len(task.cases + task.hidden_cases)


def test_a_damaged_candidate_does_not_pass(sandbox: LocalSandbox) -> None:
    task, code = candidate(fixture("softmax"))
    assert code.count("e / total") == 1
    damaged = code.replace("e / total", "e")
    verdict = asyncio.run(verify(task, render_answer(damaged), sandbox, Judging()))
    assert isinstance(verdict, Rejected) and verdict.stage == "numerics"


def test_candidates_are_plain_files() -> None:
    for task, code in inductor(FIXTURES):
        assert not [word for word in PRIVATE if word in code], f"{task.source.path}:\n{code}"
        assert not any(line.startswith("    tmp") for line in code.splitlines()), code


def test_a_row_is_written_as_a_person_would() -> None:
    _, code = candidate(fixture("softmax"))
    kernel = code[code.index("@triton.jit") :]
    assert kernel.startswith(
        """@triton.jit
def softmax_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    mask = columns < n
    x = tl.load(x_ptr + row * n + columns, mask=mask, other=0.0)
"""
    )
    assert "softmax_kernel[(m,)](x, out, n, BLOCK=triton.next_power_of_2(n))" in code


def test_library_calls_are_refused_with_the_reason() -> None:
    with pytest.raises(NotCleanError, match=r"extern_kernels: mm"):
        candidate(fixture("matmul"))
    task, code = next(pair for pair in inductor(FIXTURES) if not pair[1])
    assert code == "" and len(task.cases + task.hidden_cases) == 3
    assert reasons(FIXTURES) == {"clean": len(list(FIXTURES.glob("*.json"))) - 1, "extern_kernels": 1}


def test_unknown_helpers_and_host_calls_are_refused() -> None:
    captured = fixture("softmax")
    unknown = captured.model_copy(update={"code": captured.code.replace("libdevice.exp(", "triton_helpers.frexp(")})
    with pytest.raises(NotCleanError, match=r"private function: triton_helpers\.frexp"):
        candidate(unknown)
    host = captured.code.replace("    return (buf2, )", "    buf2.zero_()\n    return (buf2, )")
    assert host != captured.code
    with pytest.raises(NotCleanError, match=r"host call: buf2\.zero_"):
        candidate(captured.model_copy(update={"code": host}))


def test_a_task_keeps_only_the_cases_that_its_code_serves() -> None:
    captured = fixture("softmax")
    task, _ = candidate(captured.model_copy(update={"covered": ("captured", "h1")}))
    assert [case.name for case in task.cases + task.hidden_cases] == ["captured", "h1"]
    assert task.id != candidate(captured)[0].id
    with pytest.raises(NotCleanError, match="specialised: serves only captured"):
        candidate(captured.model_copy(update={"covered": ("captured",)}))


def test_what_did_not_compile_stays_a_task(tmp_path: Path) -> None:
    failed = fixture("softmax").model_copy(update={"code": "", "covered": (), "error": "Unsupported: a graph break"})
    (tmp_path / "one.json").write_text(failed.model_dump_json())
    ((task, code),) = inductor(tmp_path)
    assert code == "" and task.cases == failed.task.cases
    assert reasons(tmp_path) == {"not compiled": 1}


def test_an_empty_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds nothing captured; run python -m data_pipeline.capture"):
        list(inductor(tmp_path))


def test_capture_takes_up_where_it_was(tmp_path: Path) -> None:
    tasks = [task for task, _ in propose(4, 1)]
    (tmp_path / f"{tasks[1].id}.json").write_text("{}")
    assert [task.id for task in capture.missing(iter(tasks), tmp_path)] == [
        t.id for t in (tasks[0], tasks[2], tasks[3])
    ]


def test_the_suite_and_modules_become_tasks(tmp_path: Path) -> None:
    suite = list(capture.files(capture.SUITE, "suite", "Apache-2.0"))
    assert len(suite) > 15 and all(task.cases and task.hidden_cases for task in suite)
    (tmp_path / "relu.py").write_text(
        '"""ReLU."""\nimport torch\n\nclass Model(torch.nn.Module):\n    def forward(self, x):\n'
        "        return torch.relu(x)\n\ndef get_inputs():\n    return [torch.randn(4, 8)]\n"
    )
    (task,) = capture.files(tmp_path, "modules:mine", "MIT")
    assert (task.entry_point, task.id, task.source.licence) == ("ModelNew", "modules-relu", "MIT")


def test_without_a_gpu_capture_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "data_pipeline.capture", str(tmp_path), "--synthetic", "1"]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    answer = subprocess.run(command, capture_output=True, text=True, env=hidden, check=False, timeout=300)
    assert answer.returncode == 1
    assert "there is none; run it on a GPU host" in answer.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
def test_captured_here_and_cleaned(tmp_path: Path, sandbox: LocalSandbox) -> None:
    assert capture.main([str(tmp_path), "--synthetic", "6", "--seed", "3"]) == 0
    written = sorted(tmp_path.iterdir())
    assert len(written) == 6 and all(json.loads(path.read_text())["code"] for path in written)
    pairs = list(inductor(tmp_path))
    assert all(code for _, code in pairs), reasons(tmp_path)
    for task, code in pairs:
        verdict = asyncio.run(verify(task, render_answer(code), sandbox, Judging()))
        assert isinstance(verdict, Passed), f"{verdict}\n{code}"
    before = {path: path.stat().st_mtime_ns for path in written}
    assert capture.main([str(tmp_path), "--synthetic", "6", "--seed", "3"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())}
