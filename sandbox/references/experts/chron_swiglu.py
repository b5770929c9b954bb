"""SwiGLU gate.

1. One flat pass: a row length that is no multiple of the vector width costs nothing.
2. The mask is one bit a group of 8 elements, so accesses are 16 bytes wide even if the number of elements is odd; up
   to 7 elements behind the last group are handled apart.
3. One to four loads from each operand are in flight per thread, whichever is fastest. They are not marked evict_first:
   beside stores that are not marked either, it makes the kernel slower on an H200.
4. The sigmoid is one exp2 and one division; exp2 may overflow to infinity, and then gate / infinity is 0.
"""

import torch
import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _swiglu_part(gate_ptr, up_ptr, y_ptr, offset, inside):
    gate = tl.load(gate_ptr + offset, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(up_ptr + offset, mask=inside, other=0.0).to(tl.float32)
    y = gate / (1.0 + tl.exp2(gate * -LOG2E)) * up
    tl.store(y_ptr + offset, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.autotune(
    configs=[
        triton.Config({"GROUPS": groups}, num_warps=warps)
        for groups, warps in ((16, 4), (128, 4), (256, 4), (256, 8), (512, 4), (512, 8))
    ],
    key=["elements"],
)
@triton.jit
def _swiglu(gate_ptr, up_ptr, y_ptr, elements, GROUPS: tl.constexpr):
    group = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)
    lane = tl.arange(0, 8)
    whole = elements // 8
    _swiglu_part(gate_ptr, up_ptr, y_ptr, group[:, None] * 8 + lane[None, :], (group < whole)[:, None])
    if tl.program_id(0) == 0:
        rest = whole.to(tl.int64) * 8 + lane
        _swiglu_part(gate_ptr, up_ptr, y_ptr, rest, rest < elements)


def chron_swiglu(gate, up):
    """gate, up of one shape → silu(gate) · up in the dtype of gate."""
    gate, up = gate.contiguous(), up.contiguous()
    y = torch.empty_like(gate)
    elements = gate.numel()
    if elements == 0:
        return y
    _swiglu[lambda meta: (triton.cdiv(elements, 8 * meta["GROUPS"]),)](gate, up, y, elements)
    return y
