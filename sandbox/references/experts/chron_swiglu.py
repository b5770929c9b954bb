"""SwiGLU gate. One flat pass: a row length that is no multiple of the vector width costs nothing."""

import torch
import triton
import triton.language as tl


@triton.jit
def _swiglu(gate_ptr, up_ptr, y_ptr, elements, BLOCK: tl.constexpr):
    offset = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offset < elements
    gate = tl.load(gate_ptr + offset, mask=inside, other=0.0, eviction_policy="evict_first").to(tl.float32)
    up = tl.load(up_ptr + offset, mask=inside, other=0.0, eviction_policy="evict_first").to(tl.float32)
    y = gate * tl.sigmoid(gate) * up
    tl.store(y_ptr + offset, y.to(y_ptr.dtype.element_ty), mask=inside)


def chron_swiglu(gate, up):
    """gate, up of one shape → silu(gate) · up in the dtype of gate."""
    gate, up = gate.contiguous(), up.contiguous()
    y = torch.empty_like(gate)
    elements = gate.numel()
    if elements == 0:
        return y
    # 16 elements a thread: two 16-byte loads in flight from each operand in bf16
    block = min(4096, max(128, triton.next_power_of_2(elements)))
    _swiglu[(triton.cdiv(elements, block),)](gate, up, y, elements, BLOCK=block, num_warps=8 if block > 2048 else 4)
    return y
