"""Kernels are made by a decorator of the file's own, and by triton.jit under another name.

family: triton.jit by other names
task: gelu
"""

import torch
import triton
import triton.language as tl
from triton import jit as device_function


def kernel(function):
    return triton.autotune([triton.Config({"BLOCK": block}) for block in (64, 128)], key=["n"])(triton.jit(function))


@device_function
def gelu_of(x):
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@kernel
def gelu_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.static_print("block", BLOCK)
    tl.store(out_ptr + at, gelu_of(tl.load(x_ptr + at, mask=at < n)), mask=at < n)


def gelu(x):
    out = torch.empty_like(x)
    gelu_kernel[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, out, x.numel())
    return out
