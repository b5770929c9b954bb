"""`python -m rewards`: stored rewards are re-derived, and a forged one is found."""

from pathlib import Path

import pytest
import yaml
from test_score import PASSED, SHIPPED

from configs.errors import UsageError
from rewards.__main__ import main
from rewards.audit import Audit, audit
from rewards.rollout import Rollout
from sandbox.types import Broken, Rejected

NUMERICS = Rejected(stage="numerics", reason="r", cases_right=(1, 3))


def write_run(out: Path, rollouts: list[Rollout], name: str = "rollouts.jsonl") -> Path:
    folder = out / "rl"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"reward": SHIPPED["default"].model_dump(mode="json")}))
    (folder / name).write_text("".join(rollout.model_dump_json() + "\n" for rollout in rollouts))
    return folder


def rollouts(numerics_reward: float) -> list[Rollout]:
    return [
        Rollout(step=0, task_id="t", completion="a", verdict=PASSED, reward=1.0),
        Rollout(step=0, task_id="t", completion="b", verdict=NUMERICS, reward=numerics_reward),
        Rollout(step=1, task_id="t", completion="c", verdict=Broken(reason="b"), reward=None),
    ]


def test_honest_rewards_are_re_derived_bit_for_bit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path, rollouts(0.3 + 0.2 * 1 / 3))
    write_run(tmp_path, rollouts(0.3 + 0.2 * 1 / 3), name="rollouts-rank1.jsonl")
    assert audit(folder) == Audit(rollouts=6, equal=4, different=0, unscorable=2)
    assert main([f"out={tmp_path}"]) == 0
    assert "unscorable" in capsys.readouterr().out


@pytest.mark.parametrize(
    "forged",
    [
        Rollout(step=0, task_id="t", completion="x", verdict=NUMERICS, reward=1.0),
        Rollout(step=0, task_id="t", completion="x", verdict=PASSED, reward=None),
        Rollout(step=0, task_id="t", completion="x", verdict=Broken(reason="b"), reward=0.0),
    ],
)
def test_a_forged_reward_is_found(tmp_path: Path, forged: Rollout) -> None:
    write_run(tmp_path, [*rollouts(0.3 + 0.2 * 1 / 3), forged])
    assert main([f"out={tmp_path}"]) == 1


def test_torn_record_names_file_and_line(tmp_path: Path) -> None:
    folder = write_run(tmp_path, rollouts(0.3))
    with (folder / "rollouts.jsonl").open("a") as file:
        file.write('{"step": 2, "task')
    with pytest.raises(ValueError, match=r"rollouts\.jsonl:4 is no rollout"):
        audit(folder)


def test_wrong_usage_and_missing_run(tmp_path: Path) -> None:
    assert main([]) == main(["outputs/x"]) == 2
    with pytest.raises(UsageError, match="python -m rl"):
        main([f"out={tmp_path}"])
