"""Persistent softmax that compiles ahead with warmup, asks for registers and shared memory, and sizes its grid by them.

family: warmup, occupancy from the compiled kernel
task: softmax
"""

import torch
import triton
import triton.language as tl
from triton.runtime import driver

DEVICE = driver.active.get_active_torch_device()


@triton.jit
def softmax_kernel(out_ptr, x_ptr, x_stride, out_stride, rows, cols, BLOCK: tl.constexpr, num_stages: tl.constexpr):
    for row in tl.range(tl.program_id(0), rows, tl.num_programs(0), num_stages=num_stages):
        column = tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_stride + column, mask=column < cols, other=-float("inf"))
        e = tl.exp(x - tl.max(x, axis=0))
        tl.store(out_ptr + row * out_stride + column, e / tl.sum(e, axis=0), mask=column < cols)


def softmax(x):
    rows, cols = x.shape
    properties = driver.active.utils.get_device_properties(DEVICE.index)
    block, warps = triton.next_power_of_2(cols), 4
    out = torch.empty_like(x)
    kernel = softmax_kernel.warmup(
        out, x, x.stride(0), out.stride(0), rows, cols, BLOCK=block, num_stages=2, num_warps=warps, grid=(1,)
    )
    kernel._init_handles()
    occupancy = properties["max_num_regs"] // (kernel.n_regs * properties["warpSize"] * warps)
    occupancy = min(occupancy, properties["max_shared_mem"] // kernel.metadata.shared)
    programs = min(properties["multiprocessor_count"] * occupancy, rows)
    kernel[(programs, 1, 1)](out, x, x.stride(0), out.stride(0), rows, cols, block, 2)
    return out
