"""Autotune resets an accumulated output between trials; heuristics derive the rest from the arguments.

family: autotune, reset_to_zero and heuristics together
task: mse
"""

import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[triton.Config({"BLOCK": block}, num_warps=warps) for block, warps in ((64, 1), (128, 2), (256, 4), (512, 4), (1024, 8), (2048, 8))],
    key=["n"],
    reset_to_zero=["out_ptr"],
)
@triton.heuristics({"EVEN": lambda arguments: arguments["n"] % arguments["BLOCK"] == 0})
@triton.jit
def mse_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    if EVEN:
        difference = tl.load(x_ptr + at) - tl.load(y_ptr + at)
    else:
        difference = tl.load(x_ptr + at, mask=at < n, other=0.0) - tl.load(y_ptr + at, mask=at < n, other=0.0)
    tl.atomic_add(out_ptr, tl.sum(difference * difference, axis=0) / n)


def mse(x, y):
    out = torch.zeros((), device=x.device, dtype=x.dtype)
    n = x.numel()
    mse_kernel[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, out, n)
    return out
