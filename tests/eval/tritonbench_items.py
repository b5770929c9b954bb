"""Items in the form of TritonBench's, of our own, whose tests run; and a clone that holds them."""

import json
from pathlib import Path

from data_pipeline.contamination import SEPARATOR
from eval.benchmarks.tritonbench.items import TritonBenchItem, load

PICK = """import torch
import triton
import triton.language as tl


@triton.autotune(configs=[triton.Config({}, num_warps=n) for n in (1, 2)], key=["columns"])
@triton.jit
def pick_kernel(x_ptr, index_ptr, out_ptr, scale, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    source = tl.load(index_ptr + row)
    x = tl.load(x_ptr + source * columns + column, mask=column < columns)
    tl.store(out_ptr + row * columns + column, x * scale, mask=column < columns)


def pick(x, index, out, *, scale=1.0):
    assert x.is_cuda and torch.cuda.get_device_capability(x.device)[0] >= 8
    with torch.cuda.device(x.device):
        columns = x.shape[1]
        pick_kernel[(index.numel(),)](x, index, out, scale, columns, BLOCK=triton.next_power_of_2(columns))
"""
PICK_TEST = """def test_pick():
    x = torch.rand(8, 20, device="cuda")
    index = torch.tensor([5, 0, 5, 3, 7, 2], device="cuda")
    out = torch.empty(6, 20, device="cuda")
    pick(x, index, out, scale=0.5)
    return {"test_case_1": out}


result_gold = test_pick()
"""
KERNEL = """import torch
import triton
import triton.language as tl


@triton.jit
def twice_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(y_ptr + at, x * 2, mask=at < n)


def twice(x):
    y = torch.empty_like(x)
    twice_kernel[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), BLOCK=64)
    return y
"""
MEMORY = KERNEL.replace("x * 2", "2.0 * at + 2.0")
"""Knows the test's result by heart."""
TORCH = "import torch\n\n\ndef twice(x):\n    return x * 2\n"
TORCH_TEST = "test_results = {'test_case_1': twice(torch.tensor([1.0, 2.0, 3.0, 4.0], device='cuda'))}\n"

GOLDS = {
    "G": {"pick_op": (PICK, PICK_TEST)},
    "T": {
        "twice": (TORCH, TORCH_TEST),
        "noise": ("import torch\n\n\ndef noise(x):\n    return x + torch.rand_like(x)\n",
                  "test_results = noise(torch.ones(3, 4))\n"),
        "Keeps": ("import torch\n\n\nclass Keeps:\n    def __call__(self, x):\n        return x\n",
                  "test_results = Keeps()(torch.ones(3))\n"),
        "gone": ("def gone(x):\n    import ctypes\n\n    ctypes.string_at(0)\n",
                 "import torch\n\ntest_results = gone(torch.ones(3))\n"),
        "root": ("import torch\n\n\ndef root(x, where):\n    return torch.sqrt(x)[where]\n",
                 "from root import root\n\ntest_results = root(torch.rand(9, 4), torch.tensor([0, 3, 5]))\n"
                 "of_squares = root(torch.tensor([1, 4, 9]), torch.tensor([0, 2]))\n"),
    },
}  # fmt: skip


def clone(root: Path) -> Path:
    """A clone with these items."""
    for half, golds in GOLDS.items():
        folder = root / "data" / f"TritonBench_{half}_v1"
        folder.mkdir(parents=True)
        rows = []
        for name, (gold, test) in golds.items():
            (folder / f"{name}.py").write_text(f"{gold}\n{SEPARATOR}\n{test}")
            asked = f"Write the operator {name}, please."
            rows.append({"file": f"{name}.py", "description": asked, "simp_instru": asked, "comp_instru": asked,
                         "output": gold, "difficulty": "2"})  # fmt: skip
        suffix = "json" if half == "G" else "jsonl"
        (folder.parent / f"TritonBench_{half}_v1.{suffix}").write_text(json.dumps(rows))
        prompts = [{"instruction": f"Upstream says: {row['description']}", "input": "", "output": ""} for row in rows]
        for way in ("simp", "comp"):
            (folder.parent / f"TritonBench_{half}_{way}_alpac_v1.json").write_text(json.dumps(prompts))
    return root


def items(root: Path) -> dict[str, TritonBenchItem]:
    """By name."""
    clone(root)
    return {item.name: item for half in ("G", "T") for item in load(root, half)}
