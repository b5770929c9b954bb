"""Numbers beside bfloat16 tensors, which take them for bfloat16.

family: bfloat16 arithmetic
task: silu_gate
"""

import torch
import triton
import triton.language as tl


@triton.jit
def gate_kernel(gate_ptr, up_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    gate = tl.load(gate_ptr + at, mask=at < n, other=0.0)
    halved = tl.load(up_ptr + at, mask=at < n, other=0.0) * 0.5
    doubled = gate * tl.full((BLOCK,), 2.0, tl.bfloat16)
    sigmoid = tl.where(gate == gate, tl.sigmoid(gate.to(tl.float32)), 0.0)
    tl.store(out_ptr + at, (doubled.to(tl.float32) * sigmoid * halved).to(tl.bfloat16), mask=at < n)


def silu_gate(gate, up):
    out = torch.empty_like(up)
    gate_kernel[(triton.cdiv(up.numel(), 256),)](gate, up, out, up.numel(), BLOCK=256)
    return out
