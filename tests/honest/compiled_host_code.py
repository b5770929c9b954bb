"""torch.compile around the host function, and contexts around the call.

family: torch.compile decorator
task: softmax
"""
import contextlib
import torch
import triton
import triton.language as tl
from functools import partial


@triton.jit
def _softmax(x_ptr, o_ptr, n, s, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * s + c, mask=c < n, other=-float("inf"))
    x = tl.exp(x - tl.max(x, 0))
    tl.store(o_ptr + row * s + c, x / tl.sum(x, 0), mask=c < n)


@torch.compile(dynamic=True)
def _run(x, out):
    n = x.shape[-1]
    _softmax[(x.shape[0],)](x, out, n, x.stride(0), BLOCK=triton.next_power_of_2(n))
    return out


@contextlib.contextmanager
def _ctx(device):
    with torch.cuda.device(device), torch.inference_mode(), torch.amp.autocast("cuda", enabled=False):
        yield


_alloc = partial(torch.empty_like, memory_format=torch.contiguous_format)


def softmax(x):
    with _ctx(x.device):
        return _run(x, _alloc(x))
