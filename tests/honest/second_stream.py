"""Streams, events, current_stream().cuda_stream, device guards, memory statistics, deterministic mode.

family: streams and events
task: softmax
"""
import time
import torch
import triton
import triton.language as tl

torch.use_deterministic_algorithms(True)
_stream = torch.cuda.Stream()


@triton.jit
def _softmax(x_ptr, o_ptr, n, s, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * s + c, mask=c < n, other=-float("inf"))
    x = tl.exp(x - tl.max(x, 0))
    tl.store(o_ptr + row * s + c, x / tl.sum(x, 0), mask=c < n)


def softmax(x):
    t0 = time.perf_counter()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    out = torch.empty(x.shape, dtype=x.dtype, device=f"cuda:{torch.cuda.current_device()}")
    n = x.shape[-1]
    _stream.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(_stream):
        _softmax[(x.shape[0],)](x, out, n, x.stride(0), BLOCK=triton.next_power_of_2(n))
    torch.cuda.current_stream().wait_stream(_stream)
    out.record_stream(_stream)
    end.record(torch.cuda.current_stream())
    end.synchronize()
    _ = start.elapsed_time(end), torch.cuda.max_memory_allocated(), time.perf_counter() - t0
    return out
