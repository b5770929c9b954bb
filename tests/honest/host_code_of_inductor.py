"""Host code as Inductor writes it: a device guard, its own allocator, a raw stream, a reinterpreted buffer.

family: host code of compilers
task: axpy
"""

import torch
import triton
import triton.language as tl
from torch._C import _cuda_getCurrentRawStream as get_raw_stream

empty_strided_cuda = torch._C._dynamo.guards._empty_strided_cuda
reinterpret_tensor = torch.ops.inductor._reinterpret_tensor


@triton.jit
def triton_poi_fused_add_mul_0(in_ptr0, in_ptr1, out_ptr0, alpha, xnumel, XBLOCK: tl.constexpr):
    xoffset = tl.program_id(0) * XBLOCK
    xindex = xoffset + tl.arange(0, XBLOCK)[:]
    xmask = xindex < xnumel
    tmp0 = tl.load(in_ptr0 + (xindex), xmask)
    tmp1 = tl.load(in_ptr1 + (xindex), xmask)
    tl.store(out_ptr0 + (xindex), alpha * tmp0 + tmp1, xmask)


def axpy(alpha, arg0_1, arg1_1):
    (size,) = arg0_1.shape
    with torch.cuda._DeviceGuard(0):
        torch.cuda.set_device(0)
        buf0 = empty_strided_cuda((size, 1), (1, 1), arg0_1.dtype)
        buf1 = reinterpret_tensor(buf0, (size,), (1,), 0)
        del buf0
        stream0 = get_raw_stream(0)
        assert stream0 == 0
        triton_poi_fused_add_mul_0[(triton.cdiv(size, 128),)](arg0_1, arg1_1, buf1, alpha, size, XBLOCK=128)
        del arg0_1
    return buf1
