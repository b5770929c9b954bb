"""TritonBench's own script for call accuracy, `EVAL/eval_G/0_call_acc.py` of a clone, on the gold codes.

It is run as it is, but for the path of an interpreter on its authors' machine. It must be given all operators at once,
with labels from the prompts (one is another version than its gold, and the script wants one that it does not find),
and its `--GPUs` is read letter by letter. It isolates nothing and ends nothing, so it gets no answer of a model. T's
script reads files that clones do not have.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from configs.errors import UsageError
from data_pipeline.contamination import BenchmarkMissingError
from eval.benchmarks.tritonbench.items import TritonBenchItem

SCRIPT, LABELS = "EVAL/eval_G/0_call_acc.py", "data/TritonBench_G_simp_alpac_v1.json"
INTERPRETER = re.compile(r"^py_interpreter = .*$", re.MULTILINE)


def accepted(root: Path, items: Sequence[TritonBenchItem], at_once: int, seconds: float) -> frozenset[str]:
    """Ids of the operators of G whose gold code it accepts, with its filter, `at_once` on the first GPU.

    Raises:
        BenchmarkMissingError: the clone has no such script.
        UsageError: the script failed, as under Python before 3.12, or did not end in time.
    """
    if not (root / SCRIPT).is_file():
        raise BenchmarkMissingError(f"there is no {root / SCRIPT}; the clone is not complete")
    labels = [row["output"] for row in json.loads((root / LABELS).read_text())]
    rows = [{"label": label, "predict": item.gold} for item, label in zip(items, labels, strict=True)]
    with tempfile.TemporaryDirectory(prefix="kernelwright-upstream-") as folder:
        here = Path(folder)
        (here / "data").symlink_to((root / "data").resolve())  # it writes beside what it reads
        (here / "golds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        text, found = INTERPRETER.subn(lambda _: f"py_interpreter = {sys.executable!r}", (root / SCRIPT).read_text())
        if found != 1:
            raise BenchmarkMissingError(f"{root / SCRIPT} does not set py_interpreter once; it is another revision")
        (here / "script.py").write_text(text)
        command = [sys.executable, "script.py", "--source", "golds.jsonl", "--target", "kept", "--GPUs", "0" * at_once]
        _run(command, here, seconds)
        kept = {path.stem for path in (here / "kept").glob("*.py")}
    return frozenset(item.id for item in items if item.name in kept)


def _run(command: list[str], folder: Path, seconds: float) -> None:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder / "cache")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired as late:
        raise UsageError(f"upstream's script was still running after {seconds:g} s") from late
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        raise UsageError(
            f"upstream's script failed (it needs Python 3.12): {(folder / 'log').read_text(errors='replace')[-500:]}"
        )
