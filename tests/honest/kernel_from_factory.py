"""A kernel made by a function of its activation: it calls another kernel function by a name in its closure.

family: closure over a kernel function
task: bias_relu
"""
import torch
import triton
import triton.language as tl


def make_kernel(act):
    @triton.jit
    def fused(x_ptr, b_ptr, o_ptr, n, cols, BLOCK: tl.constexpr):
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        m = i < n
        v = tl.load(x_ptr + i, mask=m) + tl.load(b_ptr + i % cols, mask=m)
        tl.store(o_ptr + i, act(v), mask=m)

    return fused


@triton.jit
def relu(v):
    return tl.where(v > 0, v, 0.0)


_KERNELS = {"relu": make_kernel(relu)}


def bias_relu(x, bias):
    out = torch.empty_like(x)
    n = x.numel()
    _KERNELS["relu"][(triton.cdiv(n, 128),)](x, bias, out, n, x.shape[-1], BLOCK=128)
    return out
