"""What needs a GPU: training and generation run on it, and candidates never see it. `make gpu-test`."""

import asyncio
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from configs.main import validate
from configs.models import load_model, load_tokenizer, resolve_device
from configs.schema import Config
from sandbox.local import LocalSandbox
from sandbox.types import TOLERANCES, Case, Job, Rejected

pytestmark = pytest.mark.gpu
CONFIGS = Path(__file__).parent.parent / "configs"


def config(*overrides: str) -> Config:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return validate(compose("config", overrides=list(overrides)))


def test_auto_means_the_gpu() -> None:
    assert resolve_device("auto") == "cuda"


def test_the_default_model_generates_on_the_gpu_in_bfloat16() -> None:
    settings = config("model=smollm2_135m").model
    model, tokenizer = load_model(settings, "cuda"), load_tokenizer(settings)
    weight = next(model.parameters())
    assert weight.is_cuda and weight.dtype == torch.bfloat16
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    )  # fmt: skip
    output = model.generate(**prompt.to("cuda"), max_new_tokens=24, do_sample=False)
    assert "Paris" in tokenizer.decode(output[0])


def test_candidates_cannot_reach_the_gpu() -> None:
    """The candidate opens the driver's device file through torch's own ctypes; there is none in its root."""
    candidate = """
import torch, triton
import triton.language as tl

@triton.jit
def kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(y_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)

def same(x):
    raise SystemError(str([name for name in ("/dev/nvidia0", "/dev/nvidiactl") if torch.os.path.exists(name)]))
"""
    reference = "def make_inputs(case, draw):\n    return (draw.normal(8),)\ndef same(x):\n    return x * 1\n"
    job = Job(
        reference=reference,
        candidate=candidate,
        entry_point="same",
        cases=(Case(name="one"),),
        tolerance=TOLERANCES["T32"],
    )

    async def judge() -> object:
        async with LocalSandbox(workers=1) as sandbox:
            return await sandbox.run(job)

    verdict = asyncio.run(judge())
    assert isinstance(verdict, Rejected) and "SystemError: []" in verdict.reason
