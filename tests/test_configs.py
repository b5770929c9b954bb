"""Every shipped configuration parses, and what is wrong fails at once with the name of the key."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException

from configs.main import validate
from configs.schema import Config

CONFIGS = Path(__file__).parent.parent / "configs"
GROUPS = sorted(p.parent.name + "=" + p.stem for p in CONFIGS.glob("*/*.yaml") if p.parent.name != "experiment")
EXPERIMENTS = sorted(p.stem for p in (CONFIGS / "experiment").glob("*.yaml"))


def load(*overrides: str) -> Config:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return validate(compose("config", overrides=list(overrides)))


@pytest.mark.parametrize("choice", GROUPS)
def test_group_parses(choice: str) -> None:
    load(choice)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_parses(name: str) -> None:
    assert load(f"experiment={name}").out


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("+rl.group_sise=4", "rl.group_sise"),
        ("rl.group_size=four", "rl.group_size"),
        ("rl.group_size=1", "rl.group_size"),
        ("eval.samples='8'", "eval.samples"),
        ("sandbox.targets=[sm_12]", "sandbox.targets"),
        ("rl.micro_batch=7", "rl.micro_batch"),
        ("eval.pass_k=[1,64]", "eval.pass_k"),
        ("rl.max_completion_tokens=100000", "model.context_tokens"),
        ("reward=autotriton", ""),
    ],
)
def test_wrong_values_are_named(override: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not named:  # a fine combination, so that this test can tell right from wrong
        load(override)
        return
    with pytest.raises(SystemExit) as failure:
        load(override)
    assert named in str(failure.value)


def test_impossible_combinations_are_refused() -> None:
    with pytest.raises(SystemExit, match="engine=vllm"):
        load("device=cpu", "rl.engine=vllm")
    with pytest.raises(SystemExit, match=r"sandbox\.gpus"):
        load("sandbox.timing=true")
    with pytest.raises(SystemExit, match="autotriton"):
        load("reward=autotriton", "+reward.numerics_credit=0.1")


def test_unknown_key_is_refused_by_hydra() -> None:
    with pytest.raises(ConfigCompositionException, match="group_sise"):
        load("rl.group_sise=4")


@pytest.mark.parametrize("module", ["data_pipeline", "sft", "rl", "eval", "serve"])
def test_main_fails_before_heavy_imports(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", module, f"out={tmp_path}", "rl.group_size=1"]
    started = time.monotonic()
    answer = subprocess.run(command, capture_output=True, text=True, cwd=CONFIGS.parent, timeout=60, check=False)
    assert answer.returncode != 0
    assert "rl.group_size" in answer.stderr
    imported = {line.split("|")[-1].strip() for line in answer.stderr.splitlines() if line.startswith("import time:")}
    assert not imported & {"torch", "transformers", "trl", "datasets"}, f"{time.monotonic() - started:.1f} s"


@pytest.mark.parametrize("module", ["data_pipeline", "sft", "eval", "eval.report"])
def test_what_a_user_can_mend_ends_a_command_without_a_traceback(tmp_path: Path, module: str) -> None:
    out = tmp_path / "out"
    out.write_text("a file where a folder is expected")
    asked = [sys.executable, "-m", module, f"out={out}"]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=120, cwd=CONFIGS.parent, check=False)
    assert answer.returncode == 1 and str(out) in answer.stderr
    assert "Traceback" not in answer.stderr and len(answer.stderr.splitlines()) == 1
    assert out.is_file() and list(tmp_path.iterdir()) == [out]
