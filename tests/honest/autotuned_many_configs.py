"""Ten autotune configs over tile, warps and stages, keyed by two sizes.

family: autotune with ten configs
task: bias_relu
"""

import torch
import triton
import triton.language as tl


def configs():
    return [
        triton.Config({"BLOCK": block, "ROWS": rows}, num_warps=warps, num_stages=stages)
        for block, warps, stages in ((32, 1, 1), (64, 2, 2), (128, 4, 2), (256, 4, 3), (512, 8, 4))
        for rows in (1, 2)
    ]


@triton.autotune(configs=configs(), key=["rows", "cols"])
@triton.jit
def bias_relu_kernel(x_ptr, bias_ptr, out_ptr, rows, cols, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    keep = (row < rows) & (column < cols)
    value = tl.load(x_ptr + row * cols + column, mask=keep) + tl.load(bias_ptr + column, mask=column < cols)
    tl.store(out_ptr + row * cols + column, tl.maximum(value, 0.0), mask=keep)


def bias_relu(x, bias):
    rows, cols = x.shape
    out = torch.empty_like(x)
    grid = lambda meta: (triton.cdiv(rows, meta["ROWS"]), triton.cdiv(cols, meta["BLOCK"]))
    bias_relu_kernel[grid](x, bias, out, rows, cols)
    return out
