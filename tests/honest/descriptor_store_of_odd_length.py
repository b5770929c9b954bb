"""Loads and stores through descriptors of one dimension, whose length is no multiple of what TMA writes at a time.

family: descriptors of one dimension
task: silu_gate
"""

import torch
import triton
import triton.language as tl


@triton.jit
def gate_kernel(gate_ptr, up_ptr, out_ptr, n, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    offsets = start + tl.arange(0, BLOCK)
    gate = tl.load(gate_ptr + offsets, mask=offsets < n, other=0.0).to(tl.float32)
    up = tl.make_tensor_descriptor(up_ptr, shape=[n], strides=[1], block_shape=[BLOCK]).load([start])
    out = tl.make_tensor_descriptor(out_ptr, shape=[n], strides=[1], block_shape=[BLOCK])
    out.store([start], (gate * tl.sigmoid(gate) * up).to(tl.bfloat16))


def silu_gate(gate, up):
    out = torch.empty_like(gate)
    n = gate.numel()
    gate_kernel[(triton.cdiv(n, 256),)](gate, up, out, n, BLOCK=256)
    return out
