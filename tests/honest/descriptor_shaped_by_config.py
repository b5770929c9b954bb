"""Block shapes of host descriptors are set by the hook of the autotune configuration.

family: autotune pre_hook, host-side tensor descriptor
task: matmul_half
"""

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor


def set_blocks(args):
    args["a_desc"].block_shape = [args["ROWS"], args["INNER"]]
    args["b_desc"].block_shape = [args["INNER"], args["COLS"]]


@triton.autotune(
    configs=[
        triton.Config({"ROWS": rows, "COLS": cols, "INNER": 16}, num_warps=4, pre_hook=set_blocks)
        for rows, cols in ((16, 16), (32, 16), (32, 32))
    ],
    key=["M", "N", "K"],
)
@triton.jit
def matmul_kernel(
    a_desc, b_desc, c_ptr, M, N, K, ROWS: tl.constexpr, COLS: tl.constexpr, INNER: tl.constexpr
):
    row, column = tl.program_id(0) * ROWS, tl.program_id(1) * COLS
    acc = tl.zeros([ROWS, COLS], dtype=tl.float32)
    for k in range(0, K, INNER):
        acc += tl.dot(a_desc.load([row, k]), b_desc.load([k, column]))
    rows = row + tl.arange(0, ROWS)[:, None]
    columns = column + tl.arange(0, COLS)[None, :]
    tl.store(c_ptr + rows * N + columns, acc.to(tl.float16), mask=(rows < M) & (columns < N))


def matmul_half(a, b):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), device=a.device, dtype=a.dtype)
    a_desc, b_desc = TensorDescriptor.from_tensor(a, [1, 1]), TensorDescriptor.from_tensor(b, [1, 1])
    grid = lambda meta: (triton.cdiv(M, meta["ROWS"]), triton.cdiv(N, meta["COLS"]))
    matmul_kernel[grid](a_desc, b_desc, c, M, N, K)
    return c
