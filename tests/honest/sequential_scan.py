"""The recurrence step by step in a loop that carries a block of states.

family: carried loop state
task: decay_scan
"""

import torch
import triton
import triton.language as tl

@triton.jit
def scan_kernel(decay_ptr, x_ptr, out_ptr, rows, steps, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = row < rows
    state = tl.zeros([BLOCK], tl.float32)
    for step in range(steps):
        at = row * steps + step
        state = tl.load(decay_ptr + at, mask=keep, other=0.0) * state + tl.load(x_ptr + at, mask=keep, other=0.0)
        tl.store(out_ptr + at, state, mask=keep)


def decay_scan(decay, x):
    out = torch.empty_like(x)
    rows, steps = x.shape
    scan_kernel[(triton.cdiv(rows, 2),)](decay, x, out, rows, steps, BLOCK=2)
    return out
