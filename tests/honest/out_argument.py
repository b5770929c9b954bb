"""An optional `out=` argument that the caller leaves out.

family: optional out argument
task: gelu
"""

import torch
import triton
import triton.language as tl

@triton.jit
def _gelu_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    tl.store(out_ptr + at, 0.5 * x * (1.0 + tl.erf(x / 1.4142135623730951)), mask=at < n)


def gelu(x, *, out=None, block=128):
    """GELU into `out` or a new tensor."""
    if out is None:
        out = torch.empty_like(x)
    assert out.shape == x.shape, f"{out.shape} != {x.shape}"
    _gelu_kernel[(triton.cdiv(x.numel(), block),)](x, out, x.numel(), block)
    return out
