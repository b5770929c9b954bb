"""Grid and warps follow what the device says about itself; memory and streams are asked about too.

family: device properties
task: row_sum
"""

import torch
import triton
import triton.language as tl


@triton.jit
def row_sum_kernel(x_ptr, out_ptr, rows, cols, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    for row in range(tl.program_id(0), rows, tl.num_programs(0)):
        total = tl.zeros([BLOCK], dtype=tl.float32)
        for start in range(0, cols, BLOCK):
            total += tl.load(x_ptr + row * cols + start + at, mask=start + at < cols, other=0.0)
        tl.store(out_ptr + row, tl.sum(total, axis=0))


def row_sum(x):
    properties = torch.cuda.get_device_properties(x.device)
    limits = triton.runtime.driver.active.utils.get_device_properties(torch.cuda.current_device())
    assert limits["multiprocessor_count"] == properties.multi_processor_count
    free, total = torch.cuda.mem_get_info()
    assert 0 < free <= total and torch.cuda.memory_allocated() >= 0
    out = torch.empty(x.shape[0], device=x.device, dtype=x.dtype)
    grid = (min(x.shape[0], 2 * properties.multi_processor_count),)
    with torch.cuda.stream(torch.cuda.Stream()):
        row_sum_kernel[grid](x, out, x.shape[0], x.shape[1], BLOCK=64, num_warps=8 if properties.major >= 8 else 4)
    torch.cuda.current_stream().synchronize()
    return out
