"""Host code as Inductor writes it, with its result given another shape.

family: views
task: gelu
"""

import torch
import triton
import triton.language as tl
from torch._inductor.select_algorithm import extern_kernels
from torch._C import _cuda_getCurrentRawStream as get_raw_stream
assert_size_stride = torch._C._dynamo.guards.assert_size_stride
empty_strided_cuda = torch._C._dynamo.guards._empty_strided_cuda
reinterpret_tensor = torch._C._dynamo.guards._reinterpret_tensor

@triton.jit
def k(in_ptr0, out_ptr0, xnumel, XBLOCK: tl.constexpr):
    i = tl.program_id(0) * XBLOCK + tl.arange(0, XBLOCK)[:]
    v = tl.load(in_ptr0 + i, i < xnumel)
    tl.store(out_ptr0 + i, 0.5 * v * (1 + tl.erf(v * 0.7071067811865476)), i < xnumel)

def call(args):
    arg0_1, = args
    args.clear()
    assert_size_stride(arg0_1, tuple(arg0_1.shape), tuple(arg0_1.stride()))
    with torch.cuda._DeviceGuard(0):
        torch.cuda.set_device(0)
        buf0 = empty_strided_cuda((arg0_1.numel(), ), (1, ), torch.float32)
        stream0 = get_raw_stream(0)
        k[(triton.cdiv(arg0_1.numel(), 256),)](arg0_1, buf0, arg0_1.numel(), XBLOCK=256, num_warps=4, num_stages=1)
        sh, st = tuple(arg0_1.shape), tuple(arg0_1.stride())
        del arg0_1
    return reinterpret_tensor(buf0, sh, st, 0),

def gelu(x):
    return call([x])[0]
