"""Branches for another GPU, another version of Triton, profiling and debugging, which constants switch off.

family: functions that kernels do not have
task: gelu
"""

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import globaltimer


@triton.jit
def erf(x, HOW: tl.constexpr):
    if HOW == "assembly":
        return tl.inline_asm_elementwise("mov.b32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    elif HOW == "old":
        value = tl.libdevice.erf(x)
    else:
        value = tl.erf(x)
    return value


@triton.jit
def gelu_kernel(
    x_ptr, out_ptr, clock_ptr, n, BLOCK: tl.constexpr, HOW: tl.constexpr, DEPENDENT: tl.constexpr = False,
    PROFILE: tl.constexpr = False, DEBUG: tl.constexpr = False,
):  # fmt: skip
    program = tl.program_id(0)
    if PROFILE:
        begun = globaltimer()
        if program == 0:
            tl.store(clock_ptr, begun)
    if DEPENDENT:
        tl.extra.cuda.gdc_wait()
    at = program * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    if DEBUG:
        tl.device_print("x", x)
        print("block", BLOCK)
    tl.store(out_ptr + at, 0.5 * x * (1.0 + erf(x * 0.7071067811865476, HOW)), mask=at < n)
    if PROFILE:
        tl.store(clock_ptr + 1, globaltimer() - begun)


def gelu(x):
    out = torch.empty_like(x)
    how = "old" if triton.__version__ < "3" else "new"
    gelu_kernel[(triton.cdiv(x.numel(), 128),)](x, out, None, x.numel(), BLOCK=128, HOW=how)
    return out
