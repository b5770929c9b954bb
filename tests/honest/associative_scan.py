"""A linear recurrence by tl.associative_scan over pairs with a combine function.

family: tl.associative_scan
task: decay_scan
"""

import torch
import triton
import triton.language as tl

@triton.jit
def compose(decay_a, state_a, decay_b, state_b):
    return decay_a * decay_b, decay_b * state_a + state_b


@triton.jit
def scan_kernel(decay_ptr, x_ptr, out_ptr, steps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    step = tl.arange(0, BLOCK)
    keep = step < steps
    decay = tl.load(decay_ptr + row * steps + step, mask=keep, other=1.0)
    x = tl.load(x_ptr + row * steps + step, mask=keep, other=0.0)
    _, state = tl.associative_scan((decay, x), 0, compose)
    tl.store(out_ptr + row * steps + step, state, mask=keep)


def decay_scan(decay, x):
    out = torch.empty_like(x)
    rows, steps = x.shape
    scan_kernel[(rows,)](decay, x, out, steps, BLOCK=triton.next_power_of_2(steps))
    return out
