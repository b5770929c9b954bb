"""Flash attention forward: online softmax over key blocks, causal masking by a constexpr flag.

family: flash attention, constexpr bool
task: attention
"""

import torch
import triton
import triton.language as tl

@triton.jit
def attention_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, length, scale, WIDTH: tl.constexpr, CAUSAL: tl.constexpr, BLOCK: tl.constexpr
):
    start_m = tl.program_id(0)
    row = start_m * BLOCK + tl.arange(0, BLOCK)
    d = tl.arange(0, WIDTH)
    q = tl.load(q_ptr + row[:, None] * WIDTH + d[None, :], mask=row[:, None] < length, other=0.0)
    m_i = tl.zeros([BLOCK], dtype=tl.float32) - float("inf")
    l_i = tl.zeros([BLOCK], dtype=tl.float32)
    acc = tl.zeros([BLOCK, WIDTH], dtype=tl.float32)
    end = length
    if CAUSAL:
        end = tl.minimum((start_m + 1) * BLOCK, length)
    for start_n in range(0, end, BLOCK):
        column = start_n + tl.arange(0, BLOCK)
        k = tl.load(k_ptr + column[:, None] * WIDTH + d[None, :], mask=column[:, None] < length, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(column[None, :] < length, scores, -float("inf"))
        if CAUSAL:
            scores = tl.where(row[:, None] >= column[None, :], scores, -float("inf"))
        m_ij = tl.maximum(m_i, tl.max(scores, 1))
        alpha = tl.exp(m_i - m_ij)
        p = tl.exp(scores - m_ij[:, None])
        l_i = l_i * alpha + tl.sum(p, 1)
        v = tl.load(v_ptr + column[:, None] * WIDTH + d[None, :], mask=column[:, None] < length, other=0.0)
        acc = acc * alpha[:, None] + tl.dot(p, v, input_precision="ieee")
        m_i = m_ij
    acc = acc / l_i[:, None]
    tl.store(out_ptr + row[:, None] * WIDTH + d[None, :], acc, mask=row[:, None] < length)


def attention(q, k, v, causal):
    length, width = q.shape
    out = torch.empty_like(q)
    attention_kernel[(triton.cdiv(length, 16),)](
        q, k, v, out, length, width**-0.5, WIDTH=width, CAUSAL=causal, BLOCK=16, num_warps=4, num_stages=1
    )
    return out
