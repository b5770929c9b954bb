"""tl.gather within a row that was loaded once.

family: tl.gather
task: pick_lanes
"""

import torch
import triton
import triton.language as tl


@triton.jit
def pick_kernel(x_ptr, index_ptr, out_ptr, cols, picks, BLOCK: tl.constexpr, PICKS: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=0.0)
    pick = tl.arange(0, PICKS)
    index = tl.load(index_ptr + row * picks + pick, mask=pick < picks, other=0)
    tl.store(out_ptr + row * picks + pick, tl.gather(x, index, 0), mask=pick < picks)


def pick_lanes(x, index):
    (rows, cols), picks = x.shape, index.shape[1]
    out = torch.empty((rows, picks), device=x.device, dtype=x.dtype)
    pick_kernel[(rows,)](
        x, index, out, cols, picks, BLOCK=triton.next_power_of_2(cols), PICKS=triton.next_power_of_2(picks)
    )
    return out
