"""Functions of the language are imported from the modules that define them.

family: imports
task: silu_gate
"""

import torch
import triton
import triton.language as tl
import triton.language.core as core
from triton.language import standard
from triton.language.core import arange, program_id


@triton.jit
def gate_kernel(x_ptr, gate_ptr, out_ptr, n, BLOCK: core.constexpr):
    at = program_id(0) * BLOCK + arange(0, BLOCK)
    gate = core.load(gate_ptr + at, mask=at < n).to(tl.float32)
    x = tl.load(x_ptr + at, mask=at < n).to(tl.float32)
    tl.store(out_ptr + at, gate * standard.sigmoid(gate) * x, mask=at < n)


def silu_gate(gate, up):
    out = torch.empty_like(up)
    gate_kernel[(triton.cdiv(up.numel(), 256),)](up, gate, out, up.numel(), BLOCK=256)
    return out
