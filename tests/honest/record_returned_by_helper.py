"""A helper returns a typing.NamedTuple, whose fields are read at once.

family: named tuples made in a kernel
task: mean_var
"""

from typing import NamedTuple
import torch, triton, triton.language as tl

class Stats(NamedTuple):
    mean: tl.tensor
    var: tl.tensor

@triton.jit
def stats(v, m, n):
    mu = tl.sum(tl.where(m, v, 0.0), axis=0) / n
    d = tl.where(m, v - mu, 0.0)
    return Stats(mean=mu, var=tl.sum(d * d, axis=0) / n)

@triton.jit
def k(x, mean, var, n, B: tl.constexpr):
    r = tl.program_id(0)
    i = tl.arange(0, B)
    s = stats(tl.load(x + r * n + i, mask=i < n, other=0.0), i < n, n)
    tl.store(mean + r, s.mean)
    tl.store(var + r, s.var)

def mean_var(x):
    m = torch.empty(x.shape[0], device=x.device)
    v = torch.empty_like(m)
    k[(x.shape[0],)](x, m, v, x.shape[1], B=triton.next_power_of_2(x.shape[1]))
    return m, v
