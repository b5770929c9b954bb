"""What most harnesses do, and why they are cheated: `python tests/naive_harness.py TASK CANDIDATE`.

The child process imports task and candidate side by side, calls both on the same CPU tensors (kernels run under
Triton's interpreter), compares with `torch.allclose` and writes a JSON line; the parent believes the last such
line. Prints `pass`, `fail`, `crashes` or `hangs`. Only the public cases are tried, each three times on the same
inputs, and tolerances are the usual 1e-2. It exists to show that the files of `tests/exploits` are real. It protects
nothing: never run those whose header says `harms`, `hangs` or `crashes` outside a throw-away machine.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
TIMEOUT_SECONDS = 60
TRIALS = 3


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def compare(got: Any, expected: Any) -> bool:
    """Pairs up outputs as far as they go, as naive harnesses do."""
    import torch

    if isinstance(expected, dict):
        return all(compare(got[key], value) for key, value in expected.items())
    if isinstance(expected, (tuple, list)):
        return all(compare(mine, theirs) for mine, theirs in zip(got, expected, strict=False))
    if not isinstance(got, torch.Tensor):
        return bool(got == expected)
    if not expected.dtype.is_floating_point:
        return torch.equal(got, expected)
    return torch.allclose(got.to(torch.float64), expected, atol=1e-2, rtol=1e-2, equal_nan=True)


def widened(value: Any) -> Any:
    """A copy for later comparison; the original's memory goes back to the allocator, as with `.cpu()` on a GPU."""
    if isinstance(value, dict):
        return {key: widened(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(widened(item) for item in value)
    return value.double() if value.dtype.is_floating_point else value.clone()


def rounds(task: ModuleType, candidate: ModuleType, name: str) -> Iterator[tuple[Callable[..., Any], ...]]:
    """Reference, candidate and a function that draws inputs, once a public case."""
    import torch

    from sandbox.judging.draw import Draw

    if hasattr(task, "Model"):
        settings = task.get_init_inputs()
        torch.manual_seed(0)
        model = task.Model(*settings)
        torch.manual_seed(0)
        yield model, candidate.ModelNew(*settings), task.get_inputs
        return
    for case in task.CASES:
        if not case["hidden"] and case.get("tier", "cpu") == "cpu":
            draw = Draw(torch.Generator().manual_seed(42), case["distribution"])
            inputs = task.make_inputs(case["args"], draw)
            yield getattr(task, name), getattr(candidate, name), partial(tuple, inputs)


def judge(task_path: Path, candidate_path: Path) -> bool:
    task, candidate = load(task_path, "reference"), load(candidate_path, "candidate")
    for reference, function, draw in rounds(task, candidate, task_path.stem):
        inputs = draw()
        for _ in range(TRIALS):
            expected = widened(reference(*inputs))
            if not compare(function(*inputs), expected):
                return False
    return True


def child(task_path: Path, candidate_path: Path) -> None:
    correct = judge(task_path, candidate_path)
    sys.stdout.write("\n" + json.dumps({"correct": correct}) + "\n")


def verdict(task_path: Path, candidate_path: Path, timeout_seconds: float) -> str:
    command = [sys.executable, __file__, "--child", str(task_path), str(candidate_path)]
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(HERE.parent)}
    try:
        done = subprocess.run(command, env=environment, timeout=timeout_seconds, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return "hangs"
    results = [line for line in done.stdout.splitlines() if line.startswith('{"correct"')]
    if not results:
        return "crashes\n" + done.stderr[-2000:]
    return "pass" if json.loads(results[-1])["correct"] else "fail"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", type=Path)
    parser.add_argument("candidate", type=Path)
    parser.add_argument("--child", action="store_true")
    parser.add_argument("--timeout-seconds", type=float, default=TIMEOUT_SECONDS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.task, arguments.candidate)
    else:
        sys.stdout.write(verdict(arguments.task, arguments.candidate, arguments.timeout_seconds) + "\n")
