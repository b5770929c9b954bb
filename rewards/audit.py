"""Recompute every stored reward from its stored verdict: a reward that cannot be re-derived proves nothing."""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from configs.errors import UsageError
from configs.schema import RewardConfig
from rewards.rollout import read_rollouts, rollout_files
from rewards.score import score
from sandbox.types import Record


class Audit(Record):
    """Counts over all rollouts of a run."""

    rollouts: int
    equal: int
    """Scored, and the same when scored again."""
    different: int
    """Scored otherwise than stored, or scorable where the record says it is not."""
    unscorable: int
    """`Broken`, stored without a reward, as it should be."""


def audit(folder: Path) -> Audit:
    """Audit `<out>/rl`, with the reward config of `<out>/rl/config.yaml`.

    Raises:
        UsageError: the folder holds no rollouts or no config.
    """
    files = rollout_files(folder)
    if not files:
        raise UsageError(f"{folder} holds no rollouts.jsonl; run python -m rl out={folder.parent} first")
    if not (folder / "config.yaml").exists():
        raise UsageError(f"{folder} holds no config.yaml, which says how its rollouts were rewarded")
    stored: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    config = RewardConfig.model_validate_json(json.dumps(stored["reward"]))
    counts = {"equal": 0, "different": 0, "unscorable": 0}
    for path in files:
        for rollout in read_rollouts(path):
            again = score(rollout.verdict, config)
            if again != rollout.reward:
                counts["different"] += 1
            else:
                counts["unscorable" if again is None else "equal"] += 1
    return Audit(rollouts=sum(counts.values()), **counts)
