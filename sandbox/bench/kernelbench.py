"""KernelBench's own evaluator on the same pairs, run the way its `scripts/eval_from_generations.py` runs it.

1. Its code comes from a clone outside this repository (a work tree, or a bare repository that is unpacked into a
   temporary folder) and is not changed; nothing of it is kept here.
2. A fresh spawned process a kernel (`mp.Pool(1)`), one kernel at a time on one GPU, its defaults: 5 correctness
   trials, 100 timed runs with CUDA events, 180 s timeout, fp32; `backend="triton"`.
3. Its package imports three clients of language model services (`python-dotenv`, `openai`, `litellm`) which the
   evaluator never calls. Where one cannot be imported, an empty module stands in, which makes its start-up *faster*
   than a real installation's; the result says which stood in.
4. Its Triton cache starts empty, as for newly generated kernels.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from sandbox.types import TOLERANCES, Case, Job, Limits, TimingRequest

SETTINGS = {
    "num_correct_trials": 5, "num_perf_trials": 100, "timeout": 180, "measure_performance": True,
    "timing_method": "cuda_event", "backend": "triton", "precision": "fp32", "num_gpu_devices": 1,
}  # fmt: skip
"""Defaults of `EvalConfig` in its `scripts/eval_from_generations.py`, but for the backend, which names the language."""
CASES = (
    Case(name="first", timed=True), Case(name="second"), Case(name="third"), Case(name="fourth", hidden=True),
    Case(name="tails", distribution="heavy_tailed", hidden=True),
)  # fmt: skip
"""Five correctness cases, as many as it runs; all of its are drawn like our first."""


def names(folder: Path) -> list[str]:
    """Problems that have a reference `<name>.py` and a candidate `<name>_triton.py`."""
    return sorted(path.name.removesuffix("_triton.py") for path in folder.glob("*_triton.py"))


def jobs(folder: Path, timing: TimingRequest, limits: Limits) -> list[tuple[str, Job]]:
    """Our question about each pair.

    Raises:
        ValueError: the folder holds no pair.
    """
    if not names(folder):
        raise ValueError(f"{folder} holds no pairs <name>.py and <name>_triton.py")
    return [
        (
            name,
            Job(
                reference=(folder / f"{name}.py").read_text(),
                candidate=(folder / f"{name}_triton.py").read_text(),
                entry_point="ModelNew", cases=CASES, tolerance=TOLERANCES["T32"], timing=timing, limits=limits,
            ),
        )
        for name in names(folder)
    ]  # fmt: skip


def evaluate(clone: Path, folder: Path, chosen: list[str]) -> dict[str, Any]:
    """Run its evaluator on the pairs named in `chosen`.

    Returns:
        `kernels_per_minute` over the loop, `revision`, `settings`, `stand_ins`, and a row a kernel with its verdict
        (`compiled`, `correctness`, `runtime` in ms as it reports them) and seconds.

    Raises:
        FileNotFoundError: the clone holds no `src/kernelbench/eval.py`.
        subprocess.CalledProcessError: its evaluator did not run; its messages are on the error stream.
    """
    with tempfile.TemporaryDirectory(prefix="kernelbench-") as scratch:
        source, revision = unpack(clone, Path(scratch) / "clone")
        results = Path(scratch) / "results.json"
        environment = os.environ | {
            "TRITON_CACHE_DIR": str(Path(scratch) / "cache"),
            "PYTHONPATH": os.pathsep.join([str(source), str(Path(__file__).parents[2]), *_inherited()]),
        }
        command = [sys.executable, "-m", "sandbox.bench.kernelbench_worker", str(results), json.dumps(SETTINGS)]
        pairs = [str(folder / f"{name}{ending}.py") for name in chosen for ending in ("", "_triton")]
        subprocess.run([*command, *pairs], env=environment, check=True, stdout=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads(results.read_text())
    minutes = found["seconds"] / 60
    return {"kernels_per_minute": len(found["rows"]) / minutes, "revision": revision, "settings": SETTINGS, **found}


def unpack(clone: Path, scratch: Path) -> tuple[Path, str]:
    """Its `src` folder, unpacked from git where `clone` is a bare repository, and the revision.

    Raises:
        FileNotFoundError: there is no such evaluator in `clone`.
    """
    has_git = (clone / ".git").exists() or (clone / "HEAD").exists()
    revision = _git(clone, "rev-parse", "HEAD").decode().strip() if has_git else "unknown: a copy without git data"
    if not (clone / "src" / "kernelbench" / "eval.py").exists():
        archive = _git(clone, "archive", "HEAD", "src/kernelbench") if has_git else b""
        if not archive:
            raise FileNotFoundError(f"{clone} holds no src/kernelbench/eval.py and is no git repository with one")
        with tarfile.open(fileobj=BytesIO(archive)) as tar:
            tar.extractall(scratch, filter="data")
        return scratch / "src", revision
    return clone / "src", revision


def _inherited() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _git(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False).stdout
