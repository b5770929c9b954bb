"""References that launch Triton kernels, where there is no GPU: in a process of its own, since Triton decides once."""

import subprocess
import sys

import torch

from sandbox.judging.reference import Reference
from sandbox.triton_private.reference import launches_triton
from sandbox.types import Case

PROGRAM = """
import torch

before = torch.cuda.is_available, torch.cuda.device
from sandbox.judging.reference import Reference
from sandbox.types import Case

SOURCE = '''
import torch
import triton
import triton.language as tl


@triton.autotune(configs=[triton.Config({"BLOCK": n}) for n in (16, 32)], key=["n"])
@triton.jit
def cube_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(y_ptr + at, x * x * x, mask=at < n)


def cube(x):
    assert x.is_cuda and x.device.type == "cuda"
    y = torch.empty(x.shape, dtype=x.dtype, device="cuda")
    with torch.cuda.device(x.device):
        cube_kernel[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, y, x.numel())
    return y


def make_inputs(case, draw):
    return (draw.normal(50, dtype="bfloat16"),)
'''
reference = Reference(SOURCE, "cube")
drawn = reference.draw(Case(name="any"))
x = drawn.inputs[0]
assert torch.equal(reference.run(drawn, double=True), x.double() ** 3)
assert torch.allclose(reference.run(drawn, double=False), x**3, rtol=0.02)
assert (torch.cuda.is_available, torch.cuda.device) == before and not x.is_cuda
print("done")
"""


def test_kernels_run_and_torch_stays_as_it_was() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False)
    assert found.stdout.strip() == "done", found.stderr


def test_what_counts_as_launching() -> None:
    assert launches_triton("import torch\nimport triton\n") and launches_triton("    from triton import jit")
    assert not launches_triton("import torch  # not triton\ntriton = 1\n")


def test_own_precision_is_the_truth_where_a_task_says_so() -> None:
    source = "def half(x):\n    return x / 2\n\n\ndef make_inputs(case, draw):\n    return (draw.normal(3),)\n"
    for text, dtype in ((source, torch.float64), (f"{source}\n\nOWN_PRECISION = True\n", torch.float32)):
        reference = Reference(text, "half")
        assert reference.run(reference.draw(Case(name="any")), double=True).dtype == dtype
