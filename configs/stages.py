"""Resuming: a finished training stage is skipped, an interrupted one goes on from its last checkpoint.

A stage folder belongs to one set of settings. Other settings in the same folder are an error, never a silent mixture
and never a silent deletion. Nothing heavy is imported here: a finished stage is recognised at once.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any, cast

from configs.errors import UsageError
from configs.stamp import read_json, write_json, write_text

Settings = dict[str, Any]
"""Everything that decides what a stage produces, as JSON: parts of the config and digests of its input files."""


MADE_BY = {"sft": "python -m sft", "rl": "python -m rl"}
BEFORE_WORK = {"settings.json", "config.yaml", "stamp.json"}
"""What a stage writes before it makes anything: a folder with nothing else is not yet any settings' own."""


class OtherSettingsError(UsageError):
    """The folder holds results made with other settings."""


def digest(path: Path) -> str:
    """SHA-256 of a file, for settings; "absent" where there is no such file."""
    if not path.exists():
        return "absent"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def trained_model(out: Path, stage: str) -> Path:
    """Folder of the weights that a finished training stage, `sft` or `rl`, left.

    Raises:
        SystemExit: it has not; the message says how to make them.
    """
    folder = out / stage / "model"
    if not (folder / "config.json").exists():
        sys.exit(f"{folder} holds no model; make it with: {MADE_BY[stage]} (and the same experiment=… and out=…)")
    return folder


def claim(folder: Path, settings: Settings) -> dict[str, Any] | None:
    """Make `folder` the stage's own; returns its summary if the stage is finished, else None.

    Raises:
        OtherSettingsError: it was made with other settings; the message names the first that differs.
    """
    path = folder / "settings.json"
    if path.exists() and {file.name for file in folder.iterdir()} - BEFORE_WORK:
        made_with = read_json(path)
        difference = _difference(made_with, json.loads(json.dumps(settings)))
        if difference:
            raise OtherSettingsError(
                f"{folder} was made with other settings ({difference}): choose another out=, or delete {folder}"
            )
    else:
        write_json(path, settings)
    summary = folder / "summary.json"
    return cast(dict[str, Any], read_json(summary)) if summary.exists() else None


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint under `<folder>/checkpoints`: one whose trainer state, written last, is there."""
    complete = (path.parent for path in (folder / "checkpoints").glob("checkpoint-*/trainer_state.json"))
    return max(complete, key=checkpoint_step, default=None)


def checkpoint_step(checkpoint: Path) -> int:
    """Optimiser steps done when the checkpoint was written."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def keep_steps(path: Path, below: int) -> None:
    """Drop the lines of a JSON lines file whose `step` is not below `below`, and a torn last line; atomic.

    What an interrupted run logged after its last checkpoint will be done, and logged, again.
    """
    if not path.exists():
        return
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    kept = [line for line in lines if json.loads(line)["step"] < below]
    write_text(path, "".join(kept))


def finish(folder: Path, summary: dict[str, Any]) -> None:
    """Write the summary, which marks the stage as finished, and free the disk space of its checkpoints."""
    write_json(folder / "summary.json", summary)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _difference(old: Any, new: Any, name: str = "") -> str:
    """The first key in which two JSON values differ, as `a.b: old → new`; empty where they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            found = _difference(old.get(key), new.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return ""
    return "" if old == new else f"{name}: {str(old)[:40]} → {str(new)[:40]}"
