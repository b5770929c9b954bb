"""The largest of floats as the largest of unsigned integers that are ordered like them, as a radix sort has them.

family: bits of numbers
task: row_stats
"""

import torch
import triton
import triton.language as tl


@triton.jit
def ordered(x):
    bits = x.to(tl.uint32, bitcast=True)
    return tl.where(bits >> 31 != 0, ~bits, bits | 0x80000000)


@triton.jit
def stats_kernel(x_ptr, peak_ptr, energy_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + at, mask=at < cols, other=0.0)
    key = tl.max(tl.where(at < cols, ordered(x), 0), axis=0)
    peak = tl.where(key >> 31 != 0, key & 0x7FFFFFFF, ~key).to(tl.float32, bitcast=True)
    tl.store(peak_ptr + row, peak)
    tl.store(energy_ptr + row, tl.sum(x * x, axis=0))


def row_stats(x):
    rows, cols = x.shape
    peak, energy = torch.empty(rows, device=x.device), torch.empty(rows, device=x.device)
    stats_kernel[(rows,)](x, peak, energy, cols, BLOCK=triton.next_power_of_2(cols))
    return {"peak": peak, "energy": energy}
