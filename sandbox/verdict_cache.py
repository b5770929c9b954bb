"""Verdicts by content: the same job on the same hardware and versions is judged once. `Broken` is never kept."""

import hashlib
import json
import tempfile
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sandbox.types import PROTOCOL_VERSION, Broken, Job, Passed, Rejected, Verdict

_VERDICT: TypeAdapter[Passed | Rejected | Broken] = TypeAdapter(Verdict)


class VerdictCache:
    """One JSON file a verdict. Safe for threads and processes that share the folder; only trusted code may write it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, job: Job, stamp: dict[str, str]) -> str:
        """SHA-256 over the whole job (reference, candidate, cases, policy, limits, …), protocol version and stamp."""
        content = [PROTOCOL_VERSION, job.model_dump(), sorted(stamp.items())]
        text = json.dumps(content)  # escapes what is no valid Unicode
        return hashlib.sha256(text.encode()).hexdigest()

    def get(self, key: str) -> Passed | Rejected | Broken | None:
        """The verdict kept under `key`; None where there is none, or none that can be read."""
        try:
            return _VERDICT.validate_json(self._path(key).read_bytes())
        except (OSError, ValidationError):
            return None

    def put(self, key: str, verdict: Passed | Rejected | Broken) -> None:
        if isinstance(verdict, Broken):
            return
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False) as file:
            file.write(verdict.model_dump_json())
        Path(file.name).replace(path)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
