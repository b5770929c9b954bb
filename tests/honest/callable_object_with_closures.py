"""An object with __call__ that keeps closures by shape in a dict.

family: host code
task: bias_relu
"""

import torch
import triton
import triton.language as tl
from types import SimpleNamespace

@triton.jit
def kern(x, b, y, n, cols, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < n
    v = tl.load(x + i, m, other=0) + tl.load(b + i % cols, m, other=0)
    tl.store(y + i, v * (v > 0), m)

class BiasReLU:
    kernel = kern

    def __init__(self):
        self._plans = {}

    def _plan(self, shape):
        def run(x, b, y):
            type(self).kernel[cfg.grid](x, b, y, cfg.n, cfg.cols, cfg.block)
            return y
        n = shape.numel()
        cfg = SimpleNamespace(n=n, cols=shape[-1], block=64, grid=(triton.cdiv(n, 64),))
        return run

    def __call__(self, x, b):
        key = tuple(x.shape)
        try:
            run = self._plans[key]
        except KeyError:
            run = self._plans.setdefault(key, self._plan(x.shape))
        return run(x, b, torch.empty_like(x))

bias_relu = BiasReLU()
