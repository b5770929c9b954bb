"""silu and product of bfloat16 vectors with the arithmetic in float32.

family: bfloat16 everything
task: silu_gate
"""

import torch
import triton
import triton.language as tl


@triton.jit
def silu(x):
    return x * tl.sigmoid(x)


@triton.jit
def gate_kernel(gate_ptr, up_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    gate = tl.load(gate_ptr + at, mask=keep, other=0.0, eviction_policy="evict_first").to(tl.float32)
    up = tl.load(up_ptr + at, mask=keep, other=0.0, eviction_policy="evict_first")
    tl.store(out_ptr + at, silu(gate).to(tl.bfloat16) * up, mask=keep)


def silu_gate(gate, up):
    out = torch.empty_like(gate)
    n = gate.numel()
    gate_kernel[(triton.cdiv(n, 1024),)](gate, up, out, n, BLOCK=1024, num_warps=4)
    return out
