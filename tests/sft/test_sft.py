"""The SFT stage on a tiny model: it learns, resumes where it was interrupted, drops what is too long, is guarded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pipeline_data import compose_config, write_data
from rich.console import Console

from configs.models import load_model, load_tokenizer
from configs.training import GradientGuard, TrainingSanityError
from data_pipeline.extract import extract_kernel
from data_pipeline.store import load_pairs
from sft.data import build
from sft.train import train

SETTINGS = ("sft.max_steps=6", "sft.batch_size=2", "sft.max_length=512", "sft.save_steps=2")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_data(tmp_path)
    return tmp_path


def test_interrupted_training_resumes_learns_and_writes_a_model(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose_config(out, *SETTINGS, "sft.learning_rate=1e-2")
    check = GradientGuard.on_log

    def interrupt(guard: GradientGuard, *args: Any, **kwargs: Any) -> None:
        if args[1].global_step == 5:
            raise KeyboardInterrupt
        check(guard, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(GradientGuard, "on_log", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(config, Console(quiet=True))
    assert not (out / "sft" / "model").exists() and not (out / "sft" / "summary.json").exists()
    summary = train(config, Console(quiet=True))
    assert summary == json.loads((out / "sft" / "summary.json").read_text())
    assert (summary["resumed_from_step"], summary["steps"]) == (4, 6)
    assert summary["heldout_loss_after"] < summary["heldout_loss_before"] - 0.5
    assert summary["heldout_loss_before"] > 10, "the loss before is that of untrained weights, not of the checkpoint"
    assert summary["parameters_changed"] == 1.0
    entries = [json.loads(line) for line in (out / "sft" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries if "grad_norm" in entry] == [1, 2, 3, 4, 5, 6]
    trained, first = load_model(config.model, "cpu", out / "sft" / "model"), load_model(config.model, "cpu")
    assert trained.config.eos_token_id == 2
    assert not torch.equal(trained.get_input_embeddings().weight, first.get_input_embeddings().weight)
    assert not (out / "sft" / "checkpoints").exists()


def test_lora_is_merged_into_a_plain_model(out: Path) -> None:
    config = compose_config(
        out, *SETTINGS, "sft.max_steps=2", "sft.learning_rate=1e-2", "sft.lora={rank: 4, alpha: 8}", "sft.save_steps=10"
    )
    summary = train(config, Console(quiet=True))
    assert 0 < summary["parameters_changed"] < 1
    assert not (out / "sft" / "model" / "adapter_config.json").exists()
    names = {name for name, _ in load_model(config.model, "cpu", out / "sft" / "model").named_parameters()}
    assert names == {name for name, _ in load_model(config.model, "cpu").named_parameters()}


def test_an_optimiser_that_does_nothing_is_an_error(out: Path) -> None:
    config = compose_config(out, *SETTINGS, "sft.max_steps=1", "sft.learning_rate=1e-30")
    with pytest.raises(TrainingSanityError, match=r"held-out loss went from .*check sft\.learning_rate"):
        train(config, Console(quiet=True))
    assert not (out / "sft" / "summary.json").exists()


def test_rows_are_whole_train_split_conversations(out: Path) -> None:
    config = compose_config(out)
    tokenizer = load_tokenizer(config.model)
    pairs = load_pairs(out / "data", "train")
    rows = build(pairs, tokenizer, 512, seed=0)
    assert (len(rows.training), len(rows.heldout), rows.dropped) == (22, 2, 0)
    answers = [messages[-1]["content"] for messages in rows.training + rows.heldout]
    kept = {
        extract_kernel(answer, task.entry_point)
        for answer in answers
        for task, _ in pairs
        if task.entry_point in answer
    }
    assert {solution.code for _, solution in pairs} <= kept
    assert not any("op_24(" in answer for answer in answers), "op_24 is held out"
    longest = max(len(tokenizer(solution.code)["input_ids"]) for _, solution in pairs)
    with pytest.raises(ValueError, match=rf"fit into sft\.max_length={longest}"):
        build(pairs, tokenizer, longest, seed=0)
