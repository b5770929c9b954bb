"""The guard, the metrics log, the stage bookkeeping, and the CPU's language-model head."""

import copy
import json
from pathlib import Path

import pytest
import torch
from test_models import model_config
from transformers import DefaultFlowCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.utils import add_fused_lm_head

from configs.lm_head import use_cpu_head
from configs.models import load_model
from configs.stages import OtherSettingsError, claim, finish, keep_steps, last_checkpoint
from configs.training import (
    GradientGuard,
    MetricsLog,
    NoLastCheckpoint,
    TrainingSanityError,
    check_trained,
    parameter_sample,
    share_changed,
)


def test_share_changed_sees_one_changed_tensor() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    before = parameter_sample(model)
    assert share_changed(before, model) == 0
    with torch.no_grad():
        model[1].bias += 1e-6
    assert share_changed(before, model) == 1 / 4


def test_guard_fails_only_if_no_step_had_a_gradient() -> None:
    check_trained([{"grad_norm": 0.0}, {"grad_norm": 0.1}, {"loss": 1.0}], changed=0.5, cure="")
    with pytest.raises(TrainingSanityError, match=r"none of 2 steps had a gradient.*more SFT"):
        check_trained([{"grad_norm": 0.0}, {"grad_norm": 0.0}], changed=0.5, cure="more SFT")
    with pytest.raises(TrainingSanityError, match="not one parameter changed"):
        check_trained([{"grad_norm": 1.0}], changed=0.0, cure="")


@pytest.mark.parametrize(
    ("every_step", "norm", "stops"), [(True, 0.0, True), (False, 0.0, False), (False, float("nan"), True)]
)
def test_gradient_guard(tmp_path: Path, every_step: bool, norm: float, stops: bool) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    guard = GradientGuard(every_step)
    if stops:
        with pytest.raises(TrainingSanityError):
            guard.on_log(arguments, TrainerState(), TrainerControl(), logs={"grad_norm": norm})
    else:
        guard.on_log(arguments, TrainerState(), TrainerControl(), logs={"grad_norm": norm})


@pytest.mark.parametrize(("step", "saved"), [(2, True), (4, False)])
def test_the_last_step_leaves_no_checkpoint(tmp_path: Path, step: int, saved: bool) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, save_strategy="steps")
    state, control = TrainerState(global_step=step, max_steps=4, save_steps=2), TrainerControl()
    DefaultFlowCallback().on_step_end(arguments, state, control)
    assert control.should_save
    NoLastCheckpoint().on_step_end(arguments, state, control)
    assert control.should_save is saved and control.should_training_stop is not saved


def test_metrics_log_writes_null_for_nan_and_drops_steps_after_the_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    arguments = TrainingArguments(output_dir=str(tmp_path / "checkpoints"), use_cpu=True)
    log = MetricsLog(tmp_path, tmp_path / "checkpoints" / "checkpoint-2")
    log.on_log(arguments, TrainerState(global_step=3), TrainerControl(), logs={"reward": float("nan"), "loss": 0.5})
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [1, 2, 3]
    assert entries[2]["reward"] is None and entries[2]["loss"] == 0.5
    assert list((tmp_path / "tensorboard").iterdir())


def test_stage_of_other_settings_is_refused_and_a_finished_one_recognised(tmp_path: Path) -> None:
    assert claim(tmp_path, {"sft": {"learning_rate": 0.3}}) is None
    assert claim(tmp_path, {"sft": {"learning_rate": 0.1}}) is None  # nothing was made with those before
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(OtherSettingsError, match=r"sft\.learning_rate: 0\.1 → 0\.2"):
        claim(tmp_path, {"sft": {"learning_rate": 0.2}})
    finish(tmp_path, {"steps": 3})
    assert claim(tmp_path, {"sft": {"learning_rate": 0.1}}) == {"steps": 3}


def test_last_checkpoint_is_the_newest_complete_one(tmp_path: Path) -> None:
    for step, complete in ((9, True), (10, True), (11, False)):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if complete:
            (folder / "trainer_state.json").write_text("{}")
    found = last_checkpoint(tmp_path)
    assert found is not None and found.name == "checkpoint-10"


def test_keep_steps_drops_later_and_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    path.write_text('{"step": 0}\n{"step": 1}\n{"step": 2}\n{"ste')
    keep_steps(path, below=2)
    assert path.read_text() == '{"step": 0}\n{"step": 1}\n'


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_cpu_head_equals_trls_head(temperature: float) -> None:
    theirs = load_model(model_config("tiny"), "cpu")
    ours = copy.deepcopy(theirs)
    for model in (theirs, ours):
        add_fused_lm_head(model, temperature, outputs=("log_probs", "entropy", "is_top1"))
    use_cpu_head(ours, temperature)
    ids = torch.randint(3, 1000, (2, 12), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, :5] = -100
    labels[1] = -100
    outputs = [model(input_ids=ids, labels=labels, fused_lm_head=True) for model in (theirs, ours)]
    for field in ("loss", "log_probs", "entropy", "is_top1", "label_mask"):
        torch.testing.assert_close(getattr(outputs[1], field).float(), getattr(outputs[0], field).float())
    for output in outputs:
        (output.log_probs * torch.linspace(-1, 1, output.log_probs.numel()).view_as(output.log_probs)).sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
