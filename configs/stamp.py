"""The stamp: on which hardware, with which versions, from which commit. A number without a stamp does not exist."""

import json
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from configs.errors import UsageError

PACKAGES = ("torch", "triton", "transformers", "trl", "vllm", "datasets", "peft", "accelerate", "deepspeed", "numpy")


def stamp() -> dict[str, str]:
    """Hardware that this process may use, versions and git revision as flat text. Imports nothing heavy and starts no
    GPU context.
    """
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["cpu"] = f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores"
    found["gpu"] = _gpu()
    found["git"] = _git_revision()
    return found


def write_text(path: Path, text: str) -> Path:
    """Write `text` atomically: a reader sees the old file or the new one, never half of it. Returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8", errors="replace")  # a completion can hold lone surrogates
    temporary.replace(path)
    return path


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """What `write_json` wrote.

    Raises:
        UsageError: the file is missing or damaged; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"there is no {path}; run the stage that writes it, to its end") from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged, no JSON ({error}); delete it and run its stage again") from error


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown CPU"


def _gpu() -> str:
    if not shutil.which("nvidia-smi"):
        return "none"
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    if chosen := os.environ.get("CUDA_VISIBLE_DEVICES"):
        query.append(f"--id={chosen}")
    answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    lines = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    return f"{len(lines)} x {lines[0]}" if answer.returncode == 0 and lines else "none"


def _git_revision() -> str:
    root = Path(__file__).parent.parent
    query = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        return "unknown"
    return answer.stdout.strip() if answer.returncode == 0 else "unknown"
