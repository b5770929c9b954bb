"""A workspace that grows, by device and dtype, of a singleton that hands out views.

family: workspace kept between calls
task: row_sum
"""

import threading
from collections import OrderedDict, defaultdict

import torch
import triton
import triton.language as tl


class Workspace:
    _instance = None
    _lock = threading.Lock()

    def __new__(cls):
        with cls._lock:
            if cls._instance is None:
                cls._instance = super().__new__(cls)
                cls._instance.pools = OrderedDict()
                cls._instance.uses = defaultdict(int)
        return cls._instance

    def get(self, n, device, dtype):
        key = (str(device), dtype)
        pool = self.pools.get(key)
        if pool is None or pool.numel() < n:
            self.pools[key] = pool = torch.empty(max(n, 1024), device=device, dtype=dtype)
        self.uses[key] += 1
        return pool[:n]


@triton.jit
def partials(x, p, n, parts, B: tl.constexpr):
    r, j = tl.program_id(0), tl.program_id(1)
    c = j * B + tl.arange(0, B)
    tl.store(p + r * parts + j, tl.sum(tl.load(x + r * n + c, c < n, 0.0)))


@triton.jit
def total(p, o, parts, P: tl.constexpr):
    r = tl.program_id(0)
    j = tl.arange(0, P)
    tl.store(o + r, tl.sum(tl.load(p + r * parts + j, j < parts, 0.0)))


def row_sum(x):
    rows, n = x.shape
    parts = triton.cdiv(n, 32)
    p = Workspace().get(rows * parts, x.device, x.dtype).view(rows, parts)
    out = torch.empty(rows, device=x.device, dtype=x.dtype)
    partials[(rows, parts)](x, p, n, parts, B=32)
    total[(rows,)](p, out, parts, P=triton.next_power_of_2(parts))
    return out
