"""A library that may be missing is tried first; tests would import more.

family: guarded imports
task: gelu
"""
import torch
import triton
import triton.language as tl
try:
    from flash_attn.ops.activations import gelu_fwd
    HAS_FLASH = True
except ImportError:
    gelu_fwd = None
    HAS_FLASH = False
try:
    from triton.language.extra.cuda.libdevice import erf
except ModuleNotFoundError:
    from triton.language.math import erf


@triton.jit
def gelu_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offs = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = offs < n
    x = tl.load(x_ptr + offs, mask=m)
    tl.store(y_ptr + offs, 0.5 * x * (1.0 + erf(x * 0.7071067811865476)), mask=m)


def gelu(x):
    y = torch.empty_like(x)
    gelu_kernel[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
    return y


if __name__ == "__main__":
    import pytest

    pytest.main([__file__])
