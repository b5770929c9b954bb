"""Below the kernel the author tries it out and times it, without a guard: there is no data for that here.

family: tests at import
task: bias_relu
"""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl


@triton.jit
def bias_relu_kernel(x_ptr, bias_ptr, out_ptr, cols, stride, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride + column, mask=column < cols)
    bias = tl.load(bias_ptr + column, mask=column < cols)
    tl.store(out_ptr + row * cols + column, tl.maximum(x + bias, 0.0), mask=column < cols)


def launch(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    bias_relu_kernel[(x.shape[0],)](x, bias, out, x.shape[1], x.stride(0), BLOCK=triton.next_power_of_2(x.shape[1]))
    return out


torch.manual_seed(0)
x, bias = torch.randn(128, 64, device="cuda"), torch.randn(64, device="cuda")
expected, found = torch.relu(x + bias), launch(x, bias)
print(found)
assert torch.allclose(expected, found), "the kernel is wrong"
torch.testing.assert_close(found, expected)
np.testing.assert_allclose(found.cpu().numpy(), expected.cpu().numpy(), rtol=1e-5)
difference = (expected - found).abs().max().item()
print(f"largest difference: {difference:.2e}")
if torch.equal(expected, found):
    print("equal")
else:
    raise SystemExit("not equal")
milliseconds = triton.testing.do_bench(lambda: launch(x, bias), warmup=1000, rep=2000)
print(f"{milliseconds:.3f} ms")


def bias_relu(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    assert x.shape[1:] == bias.shape
    return launch(x, bias)
