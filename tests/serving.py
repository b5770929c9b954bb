"""A running server of ours, for tests: `python -m serve` in a process of its own with the tiny random model."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from hydra import compose, initialize_config_module
from openai import APIConnectionError, OpenAI

from configs.main import validate
from configs.models import load_model
from configs.schema import Config

ROOT = Path(__file__).parent.parent


def config_of(out: Path, *overrides: str) -> Config:
    with initialize_config_module(version_base=None, config_module="configs"):
        return validate(compose("config", [f"out={out}", "model=tiny", "device=cpu", *overrides]))


def checkpoint(folder: Path) -> Path:
    """The tiny model with larger random weights: at its own, its greedy answers repeat one token."""
    model = load_model(config_of(folder).model, "cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, weight in model.named_parameters():
            if "layers" in name and weight.ndim == 2:
                torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_server(out: Path, *overrides: str) -> Iterator[str]:
    """Base URL of a server that answers; it is stopped at the end."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "serve",
        f"out={out}",
        "model=tiny",
        "device=cpu",
        f"serve.port={port}",
        *overrides,
    ]
    log = out / "server.log"
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        _wait(server, url, log)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _wait(server: subprocess.Popen, url: str, log: Path) -> None:
    with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        for _ in range(1200):
            assert server.poll() is None, log.read_text()
            try:
                client.models.list()
            except APIConnectionError:
                time.sleep(0.1)
            else:
                return
    raise AssertionError(f"no answer in two minutes: {log.read_text()}")
