"""A dict that holds a matrix and a tuple with another dict, written by one kernel.

family: nested outputs
task: standardize
"""

import torch
import triton
import triton.language as tl


@triton.jit
def standardize_kernel(x_ptr, y_ptr, mean_ptr, rstd_ptr, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    keep = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=keep, other=0.0)
    mean = tl.sum(x, axis=0) / cols
    centred = tl.where(keep, x - mean, 0.0)
    rstd = 1.0 / tl.sqrt_rn(tl.sum(centred * centred, axis=0) / cols + eps)
    tl.store(y_ptr + row * cols + column, centred * rstd, mask=keep)
    tl.store(mean_ptr + row, mean)
    tl.store(rstd_ptr + row, rstd)


def standardize(x):
    rows, cols = x.shape
    y = torch.empty_like(x)
    statistics = torch.empty(2, rows, device=x.device, dtype=x.dtype)
    mean, rstd = statistics[0], statistics[1]
    standardize_kernel[(rows,)](x, y, mean, rstd, cols, 1e-5, BLOCK=triton.next_power_of_2(cols))
    return {"y": y, "statistics": (mean, {"rstd": rstd})}
