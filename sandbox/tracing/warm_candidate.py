"""A candidate of our own, traced once when the tracer starts: what Triton and torch do at first use is done then."""

REQUEST_CASE = {
    "tensors": [
        {"dtype": "float32", "shape": [8, 32], "strides": [32, 1], "nbytes": 1024},
        {"dtype": "float32", "shape": [16, 32], "strides": [32, 1], "nbytes": 2048},
    ],
    "arguments": [{"tensor": 0}], "parameters": {"linear.weight": 1}, "constants": {}, "init_arguments": [],
}  # fmt: skip
CANDIDATE = """\
import torch
import triton
import triton.language as tl


@triton.jit
def softmax_kernel(x_ptr, y_ptr, cols, scale, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    keep = at < cols
    x = tl.load(x_ptr + row * cols + at, mask=keep, other=float("-inf")) * scale
    e = tl.exp(x - tl.max(x, axis=0))
    if scale > 0:
        e = tl.where(keep, e, 0.0)
    tl.store(y_ptr + row * cols + at, e / tl.sum(e, axis=0), mask=keep)


@triton.autotune(configs=[triton.Config({"BLOCK": 16}, num_warps=4)], key=["M", "N", "K"])
@triton.heuristics({"EVEN": lambda args: args["K"] % args["BLOCK"] == 0})
@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, M, N, K, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK, BLOCK), dtype=tl.float32)
    for start in range(0, tl.cdiv(K, BLOCK)):
        k = start * BLOCK + tl.arange(0, BLOCK)
        a = tl.load(a_ptr + m[:, None] * K + k[None, :], mask=(m[:, None] < M) & (EVEN or k[None, :] < K), other=0.0)
        b = tl.load(b_ptr + k[:, None] * N + n[None, :], mask=n[None, :] < N, other=0.0)
        total = tl.dot(a, b, total)
    keep = (m[:, None] < M) & (n[None, :] < N)
    tl.store(c_ptr + m[:, None] * N + n[None, :], total.to(tl.float16), mask=keep)


class ModelNew(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(32, 16, bias=False)

    def forward(self, x):
        rows, cols = x.shape
        y, c = torch.empty_like(x), torch.zeros((rows, 16), device="cuda", dtype=torch.float16)
        softmax_kernel[(rows,)](x.contiguous(), y, cols, 0.5, BLOCK=triton.next_power_of_2(cols))
        weight = self.linear.weight.t().contiguous().half()
        grid = lambda meta: (triton.cdiv(rows, meta["BLOCK"]), triton.cdiv(16, meta["BLOCK"]))
        matmul_kernel[grid](y.half(), weight, c, rows, 16, cols)
        return c.float().reshape(-1).view(rows, 16)
"""
