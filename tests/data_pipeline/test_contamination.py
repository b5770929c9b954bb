"""Copies of benchmark items are found however they are disguised, and nothing else is."""

import json
from pathlib import Path

import pytest

from data_pipeline.contamination import SEPARATOR, BenchmarkMissingError, Benchmarks, kernelbench, tritonbench
from data_pipeline.fingerprint import fingerprints, jaccard
from data_pipeline.operators import operators

KERNEL = """
import triton
import triton.language as tl

@triton.jit
def softmax_kernel(x_ptr, y_ptr, rows, cols, stride, BLOCK: tl.constexpr):
    \"\"\"Softmax of one row.\"\"\"
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    keep = at < cols
    x = tl.load(x_ptr + row * stride + at, mask=keep, other=-float("inf"))
    top = tl.max(x, axis=0)
    e = tl.exp(x - top)
    total = tl.sum(e, axis=0)
    tl.store(y_ptr + row * stride + at, e / total, mask=keep)
"""
DISGUISED = """
import triton, triton.language as language

@triton.jit
def totally_new(source, target, n, width, pitch, TILE: language.constexpr):
    lanes = language.arange(0, TILE)
    which = language.program_id(1)
    inside = lanes < width
    values = language.load(source + which * pitch + lanes, mask=inside, other=-float("inf"))  # read
    largest = language.max(values, axis=0)
    powers = language.exp(values - largest)
    sums = language.sum(powers, axis=0)
    language.store(target + which * pitch + lanes, powers / sums, mask=inside)
"""
OTHER = """
import triton
import triton.language as tl

@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        a = tl.load(a_ptr + m[:, None] * K + k[None, :], mask=(m[:, None] < M) & (k[None, :] < K), other=0.0)
        b = tl.load(b_ptr + k[:, None] * N + n[None, :], mask=(k[:, None] < K) & (n[None, :] < N), other=0.0)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + m[:, None] * N + n[None, :], total, mask=(m[:, None] < M) & (n[None, :] < N))
"""
MODEL = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.fc = nn.Linear(inside, outside)

    def forward(self, x):
        return torch.relu(self.fc(x)) * 2.0

def get_inputs():
    return [torch.rand(8, 16)]
"""


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Benchmarks:
    """Clones of both benchmarks' layout with items of our own."""
    root = tmp_path_factory.mktemp("clones")
    level = root / "kb" / "KernelBench" / "level2"
    level.mkdir(parents=True)
    (root / "kb" / "KernelBench" / "level1").mkdir()
    (root / "kb" / "KernelBench" / "level1" / "1_Mish.py").write_text("class Model:\n    def forward(self, x): ...\n")
    (level / "7_Linear_ReLU_Scale.py").write_text(MODEL)
    data = root / "tb" / "data"
    for folder in ("TritonBench_G_v1", "TritonBench_T_v1"):
        (data / folder).mkdir(parents=True)
    (data / "TritonBench_G_v1" / "row_softmax.py").write_text(f"{KERNEL}\n{SEPARATOR}\n{OTHER}")
    (data / "TritonBench_T_v1" / "erfc_sqrt.py").write_text(
        f"import torch\n\ndef erfc_sqrt(x):\n    return torch.erfc(x), torch.sqrt(x)\n\n{SEPARATOR}\nprint()\n"
    )
    (data / "TritonBench_T_v1.jsonl").write_text(json.dumps([{"file": "erfc_sqrt.py", "torch_code": ""}]))
    return Benchmarks([*kernelbench(root / "kb"), *tritonbench(root / "tb")])


def test_a_renamed_reordered_and_rescaled_kernel_is_the_same(benchmarks: Benchmarks) -> None:
    for code in (KERNEL, DISGUISED, DISGUISED.replace("axis=0", "axis=1").replace("program_id(1)", "program_id(2)")):
        match = benchmarks.match(code)
        assert match is not None and (match.item, match.by) == ("TritonBench_G/row_softmax", "code"), code


def test_another_kernel_and_the_test_below_the_separator_are_not(benchmarks: Benchmarks) -> None:
    assert benchmarks.match(OTHER) is None


def test_a_reference_with_the_same_operators_is_the_same(benchmarks: Benchmarks) -> None:
    functional = "import torch\n\ndef fused(a, w, b):\n    y = torch.addmm(b, a, w.T)\n    return 3 * y.clamp_min(0)\n"
    assert benchmarks.match("", functional, "fused") is None
    functional = "import torch\n\ndef fused(a, w):\n    y = torch.nn.functional.linear(a, w)\n    return 3 * y.relu()\n"
    match = benchmarks.match("", functional, "fused")
    assert match is not None and (match.item, match.by) == ("KernelBench/level2/7_Linear_ReLU_Scale", "operators")
    two = "import torch\n\ndef f(z):\n    root = z.sqrt()\n    return torch.special.erfc(z), root\n"
    match = benchmarks.match("", two, "f")
    assert match is not None and match.item == "TritonBench_T/erfc_sqrt"


def test_a_name_is_enough(benchmarks: Benchmarks) -> None:
    match = benchmarks.match("", "", "", name="mish")
    assert match is not None and (match.item, match.by) == ("KernelBench/level1/1_Mish", "name")
    assert benchmarks.match("", "", "", name="fused") is None


def test_a_missing_clone_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkMissingError, match="clone of KernelBench"):
        list(kernelbench(tmp_path))
    with pytest.raises(BenchmarkMissingError, match="clone of TritonBench"):
        list(tritonbench(tmp_path))


def test_operators_are_the_same_in_every_style() -> None:
    assert operators(MODEL, "Model") == (("matmul", 1), ("mul", 1), ("relu", 1))
    code = "def half(x):\n    return x / 2\n\ndef f(x, i):\n    return -half(x)[i].sum() + len(x)\n"
    assert operators(code, "f") == (("add", 1), ("div", 1), ("index", 1), ("neg", 1), ("sum", 1))
    assert operators("def f(x):\n    return x.float().view(-1)\n", "f") == () == operators("syntax error", "f")


def test_fingerprints_of_short_functions_and_other_text_are_none() -> None:
    assert fingerprints("def f(x):\n    return x + 1\n") == [] == fingerprints("no python (")
    (one,), (other,) = fingerprints(KERNEL), fingerprints(OTHER)
    assert jaccard(one.shingles, one.shingles) == 1.0 and jaccard(one.shingles, other.shingles) < 0.3
    (renamed,) = fingerprints(KERNEL.replace("row", "line").replace("keep", "k"))
    assert renamed.exact == one.exact and renamed.exact != other.exact
