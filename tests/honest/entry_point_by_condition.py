"""What is called is chosen by a condition, out of a pair that a function makes.

family: functions by condition
task: gelu
"""

import torch
import triton
import triton.language as tl


@triton.jit
def gelu_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476)), mask=at < n)


def launchers(block):
    def into(x, out):
        gelu_kernel[(triton.cdiv(x.numel(), block),)](x, out, x.numel(), BLOCK=block)
        return out

    return into, lambda x: into(x, torch.empty_like(x))


if torch.cuda.is_available():
    gelu_into, gelu = launchers(256 if torch.cuda.get_device_capability() >= (9, 0) else 128)
else:

    def gelu(x):
        raise RuntimeError("a GPU is needed")
