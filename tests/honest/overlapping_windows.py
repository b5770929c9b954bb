"""An as_strided view with overlapping windows is read through its own strides in two-dimensional masked tiles.

family: as_strided input view with overlap
task: window_mean
"""

import torch
import triton
import triton.language as tl


@triton.jit
def mean_kernel(x_ptr, out_ptr, windows, width, window_stride, lane_stride, ROWS: tl.constexpr, LANES: tl.constexpr):
    window = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    lane = tl.arange(0, LANES)[None, :]
    keep = (window < windows) & (lane < width)
    x = tl.load(x_ptr + window * window_stride + lane * lane_stride, mask=keep, other=0.0)
    mean = tl.sum(x, axis=1) / width
    at = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    tl.store(out_ptr + at, mean, mask=at < windows)


def window_mean(x, width):
    windows = x.numel() - width + 1
    view = x.as_strided((windows, width), (x.stride(0), x.stride(0)))
    out = torch.empty(windows, device=x.device, dtype=x.dtype)
    mean_kernel[(triton.cdiv(windows, 64),)](
        view, out, windows, width, *view.stride(), ROWS=64, LANES=triton.next_power_of_2(width)
    )
    return out
