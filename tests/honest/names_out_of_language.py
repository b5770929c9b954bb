"""Functions imported out of triton.language, or under a name of their own in the module.

family: language names without tl
task: softmax
"""
import torch
import triton
import triton.language as tl
from triton import cdiv, jit, next_power_of_2
from triton.language import arange, constexpr, load, program_id, store, where
from triton.language import max as tl_max, sum as tl_sum
from triton.language.math import exp2, exp

tl_exp = tl.exp
NEG_INF = tl.constexpr(float("-inf"))
LOG2E: tl.constexpr = tl.constexpr(1.4426950408889634)


@jit
def k(x_ptr, o_ptr, n, BLOCK: constexpr):
    row = program_id(0)
    c = arange(0, BLOCK)
    m = c < n
    x = load(x_ptr + row * n + c, mask=m, other=NEG_INF)
    x = x - tl_max(x, axis=0)
    e = where(m, 0.5 * exp2(x * LOG2E) + 0.25 * exp(x) + 0.25 * tl_exp(x), 0.0)
    store(o_ptr + row * n + c, e / tl_sum(e, axis=0), mask=m)


def softmax(x):
    o = torch.empty_like(x)
    k[(x.shape[0],)](x, o, x.shape[1], BLOCK=next_power_of_2(x.shape[1]))
    return o
