"""An evaluation of a benchmark that is killed at random moments goes on with no sample lost, doubled or done again."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import clones
import pytest
from serving import ROOT

from eval.samples import Key, Sample, read_samples

TINY = ["model=tiny", "device=cpu", "sandbox.workers=2"]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """For what a killed process cannot clean up; candidates must be able to pass through."""
    folder = Path(tempfile.mkdtemp(prefix="kernelwright-killed-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def kill_and_finish(overrides: list[str], path: Path, mark: str, scratch: Path, seed: int) -> list[dict[Key, Sample]]:
    """Start an evaluation again and again, and kill it a random moment after another line with `mark` came into its
    file; then let it end. Returns what the file held after each kill.
    """
    command = [sys.executable, "-m", "eval", *TINY, *overrides]
    env = os.environ | {"TMPDIR": str(scratch)}
    moments, states = random.Random(seed), []
    for _ in range(2):
        before = marked(path, mark)
        process = subprocess.Popen(command, cwd=ROOT, env=env)
        while process.poll() is None and marked(path, mark) <= before:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        process.kill()
        process.wait()
        states.append(read_samples(path))
    subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=250)
    return states


def marked(path: Path, mark: str) -> int:
    return path.read_text().count(mark) if path.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_generation_killed_at_random_moments(tmp_path: Path, scratch: Path) -> None:
    overrides = [
        f"out={tmp_path}", "eval.benchmark=suite", "eval.tasks=12", "eval.samples=2", "eval.pass_k=[1,2]",
        "eval.max_completion_tokens=24", "eval.batch_size=2",
    ]  # fmt: skip
    path = tmp_path / "eval" / "suite" / "base" / "samples.jsonl"
    states = kill_and_finish(overrides, path, '"task_id"', scratch, 1)
    final = read_samples(path)
    assert any(0 < len(state) < 24 for state in states), [len(state) for state in states]
    assert len(final) == len(path.read_text().splitlines()) == 24
    assert {index for _, index in final} == {0, 1} and len({task for task, _ in final}) == 12
    assert all(sample.verdict is not None for sample in final.values())
    for state in states:
        for key, sample in state.items():
            assert (final[key].completion, final[key].sampling) == (sample.completion, sample.sampling), key


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_judging_killed_at_random_moments(tmp_path: Path, scratch: Path) -> None:
    folder, count = tmp_path / "runs" / "model", 8
    folder.mkdir(parents=True)
    for index in range(count):
        code = f"{clones.POSITIVE_ONLY if index % 4 == 3 else clones.RIGHT}\n# {index}\n"
        (folder / f"level_1_problem_2_sample_{index}_kernel.py").write_text(code)
    overrides = [
        f"out={tmp_path}", "eval.benchmark=kernelbench", f"eval.root={clones.kernelbench(tmp_path / 'clone')}",
        "eval.engine=files", f"eval.answers={folder}", "eval.pass_k=[1]",
    ]  # fmt: skip
    path = tmp_path / "eval" / "kernelbench" / "files" / "samples.jsonl"
    states = kill_and_finish(overrides, path, '"kind":', scratch, 2)
    final = read_samples(path)
    done = [{key: sample for key, sample in state.items() if sample.verdict is not None} for state in states]
    assert any(0 < len(state) < count for state in done), [len(state) for state in done]
    assert len(final) == len(path.read_text().splitlines()) == count
    passed = [sample.verdict is not None and sample.verdict.kind == "passed" for sample in final.values()]
    assert sum(passed) == count * 3 // 4
    for state in done:
        assert state.items() <= final.items(), "inputs are drawn anew, so a verdict given again would differ"
