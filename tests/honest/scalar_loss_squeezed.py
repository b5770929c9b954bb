"""The scalar comes from a one-element buffer by indexing, as many kernels do it.

family: scalar output by view
task: tiny_loss
"""

import torch
import triton
import triton.language as tl

@triton.jit
def loss_kernel(weights_ptr, out_ptr, n, factor, BLOCK: tl.constexpr):
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        at = start + tl.arange(0, BLOCK)
        weights = tl.load(weights_ptr + at, mask=at < n, other=0.0)
        total += weights * weights
    tl.store(out_ptr, tl.sum(total, axis=0) * factor)


def tiny_loss(weights):
    out = torch.empty(1, device=weights.device, dtype=torch.float32)
    n = weights.numel()
    loss_kernel[(1,)](weights, out, n, 1e-6 / n, BLOCK=128)
    return out[0]
