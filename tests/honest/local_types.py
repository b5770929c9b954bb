"""Local variables of a kernel have type annotations, of Triton's and of torch's names.

family: annotations inside kernels
task: gelu
"""

import torch
import triton
import triton.language as tl


@triton.jit
def gelu_kernel(x_ptr: torch.Tensor, out_ptr: "tl.tensor", n: int, BLOCK: "tl.constexpr") -> None:
    """Args: {x_ptr}, {out_ptr}."""
    half: tl.constexpr = 0.5
    offsets: tl.tensor = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep: torch.Tensor = offsets < n
    if BLOCK > 1:
        x: tl.float32 = tl.load(x_ptr + offsets, mask=keep)
    tl.store(out_ptr + offsets, half * x * (1 + tl.erf(x * 0.7071067811865476)), mask=keep)


def gelu(x):
    out = torch.empty_like(x)
    gelu_kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), BLOCK=128)
    return out
