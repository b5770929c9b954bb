"""Folders in the layout of the two benchmarks' clones, with items of our own, for tests of readers."""

import json
from pathlib import Path
from typing import Any

from data_pipeline.contamination import SEPARATOR

MODEL = """import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        return torch.relu(x) * 0.5


def get_inputs():
    return [torch.rand(8, 16)]


def get_init_inputs():
    return []
"""
HUB_MODEL = """import torch
from transformers import AutoModelForCausalLM


class Model(torch.nn.Module):
    def __init__(self, model_name):
        super().__init__()
        self.model = AutoModelForCausalLM.from_pretrained(model_name)

    def forward(self, x):
        return self.model(x).logits


model_name = "somebody/some-model"


def get_inputs():
    return [torch.randint(0, 100, (1, 8))]


def get_init_inputs():
    return [model_name]
"""
RIGHT = """import torch
import triton
import triton.language as tl


@triton.jit
def half_relu_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(y_ptr + at, tl.where(x > 0, x, 0.0) * 0.5, mask=at < n)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        half_relu_kernel[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), BLOCK=64)
        return y
"""
POSITIVE_ONLY = RIGHT.replace("tl.where(x > 0, x, 0.0)", "x")
"""Right on upstream's inputs, which are never negative."""
GOLD = """import triton
import triton.language as tl

BLOCK = 64


@triton.jit
def scale_kernel(x_ptr, n, BLOCK: tl.constexpr):
    pass


if True:

    def scale(x):
        def grid(meta):
            return (1,)

        scale_kernel[grid](x, 3, BLOCK)
        return x


class Shifted:
    def apply(self, x):
        import math

        return x + math.pi
"""


def kernelbench(root: Path) -> Path:
    """Level 1: 2, 10, 19 and 23; level 2: 9; level 3: 1; level 4: 1."""
    names = {1: ("10_Other", "2_HalfReLU", "19_ReLU", "23_Softmax"), 2: ("9_Matmul",), 3: ("1_MLP",), 4: ("1_Hub",)}
    for level, stems in names.items():
        folder = root / "KernelBench" / f"level{level}"
        folder.mkdir(parents=True)
        for stem in stems:
            (folder / f"{stem}.py").write_text(HUB_MODEL if level == 4 else MODEL)
    return root


def tritonbench(root: Path) -> Path:
    """G: two operators; T: three, in another order than their prompts."""
    data = root / "data"
    shift = GOLD.replace("scale", "shift")
    _half(
        data, "G",
        [
            _general("scale_op", GOLD, "Scales a tensor.", "def test_scale():\n    return {'a': scale(1), "
                     "'b': Shifted()}\n\n\nresult_gold = test_scale()\n"),
            _general("shift_op", shift, "Shifts a tensor.", "def shift(x):\n    return x\n\n\ndef test_shift():\n"
                     "    return shift(1)\n"),
        ],
        [0, 1],
    )  # fmt: skip
    _half(
        data, "T",
        [
            _torch("exp_sum", "exp_sum", "Sums exponentials.", "test_results = test_it()\n"),
            _torch("exp_sum_log", "exp_sum_log", "Takes the logarithm of a sum.", "output = test_it()\n"),
            _torch("quantize", "custom", "Quantizes.", "if True:\n    test_results_all = test_it()\n"),
        ],
        [2, 0, 1],
    )  # fmt: skip
    return root


def answers(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _general(stem: str, gold: str, asked: str, test: str) -> dict[str, Any]:
    asked = f"\n            {asked}\n            "
    return {
        "file": f"{stem}.py", "simp_instru": asked, "comp_instru": f"{asked}With a block of 64.", "output": gold,
        "difficulty": "3", "test": test,
    }  # fmt: skip


def _torch(stem: str, defined: str, asked: str, result: str) -> dict[str, Any]:
    gold = f"import torch\n\n\ndef {defined}(x):\n    return x\n\n\n{'#' * 103}\n"
    test = f"def test_it():\n    return {defined}(1)\n\n\n{result}"
    return {"file": f"{stem}.py", "description": asked, "output": gold, "difficulty": "1", "test": test}


def _half(data: Path, half: str, rows: list[dict[str, Any]], order: list[int]) -> None:
    (data / f"TritonBench_{half}_v1").mkdir(parents=True)
    for row in rows:
        text = f"{row['output']}\n{SEPARATOR}\n{row.pop('test')}"
        (data / f"TritonBench_{half}_v1" / row["file"]).write_text(text)
    name = "TritonBench_G_v1.json" if half == "G" else "TritonBench_T_v1.jsonl"
    (data / name).write_text(json.dumps(rows))
    for way in ("simp", "comp"):
        asked = [row.get(f"{way}_instru", row.get("description")) for row in rows]
        prompts = [{"instruction": f"Write it.\n{asked[i]}\n{way}", "input": "", "output": ""} for i in order]
        (data / f"TritonBench_{half}_{way}_alpac_v1.json").write_text(json.dumps(prompts))


DOUBLE = """import torch
import triton
import triton.language as tl


@triton.jit
def double_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(y_ptr + at, x * 2, mask=at < n)


def double(x):
    y = torch.empty_like(x)
    double_kernel[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), BLOCK=64)
    return y
"""
DOUBLE_TEST = """def test_double():
    assert torch.empty(1, device="cuda").is_cuda
    results = {}
    for case, shape in enumerate([(100,), (3, 40)]):
        x = torch.randn(shape, device="cuda")
        y = double(x)
        results[f"test_case_{case}"] = y
    return results


result_gold = test_double()
"""
CLOSE_TEST = """def test_double():
    x = torch.randn(100, device="cuda")
    y = double(x)
    return {"close": torch.allclose(y, x * 2), "shape": tuple(y.shape), "nothing": None}


result_gold = test_double()
"""
HALF = "import torch\n\n\ndef half(x):\n    return x / 2\n"
HALF_TEST = (
    'test_results = {"test_case_1": half(torch.randn(10, device="cuda")), "sum": half(torch.randn(3)).sum().item()}'
)


def runnable(root: Path) -> Path:
    """A clone of TritonBench that runs: G `double_op`, `double_close`, and `gone`, whose gold needs a GPU; T `half`."""
    data = root / "data"
    gone = DOUBLE.replace("def double(x):", "def double(x):\n    torch.Generator(device='cuda')")
    _half(
        data, "G",
        [
            _general("double_op", DOUBLE, "Doubles a tensor.", DOUBLE_TEST),
            _general("double_close", DOUBLE, "Doubles it nearly.", CLOSE_TEST),
            _general("gone", gone, "Is gone.", DOUBLE_TEST),
        ],
        [0, 1, 2],
    )  # fmt: skip
    rows = [{"file": "half.py", "description": "Halves.", "output": HALF, "difficulty": "1", "test": HALF_TEST}]
    _half(data, "T", rows, [0])
    return root
