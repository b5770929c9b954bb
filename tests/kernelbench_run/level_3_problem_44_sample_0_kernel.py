"""A transformer block: layer norms, attention and GELU are kernels; the four projections are torch's."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def attention_kernel(
    qkv_ptr, out_ptr, T, HEADS, WIDTH, scale, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    channels = HEADS * WIDTH
    batch, head = tl.program_id(1) // HEADS, tl.program_id(1) % HEADS
    qkv_ptr += batch.to(tl.int64) * T * 3 * channels + head * WIDTH
    row = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    depth = tl.arange(0, BLOCK_D)
    here = (row[:, None] < T) & (depth[None, :] < WIDTH)
    q = tl.load(qkv_ptr + row[:, None] * 3 * channels + depth[None, :], mask=here, other=0.0)
    top = tl.full((BLOCK_Q,), -float("inf"), dtype=tl.float32)
    norm = tl.zeros((BLOCK_Q,), dtype=tl.float32)
    total = tl.zeros((BLOCK_Q, BLOCK_D), dtype=tl.float32)
    for start in range(0, tl.minimum(T, (tl.program_id(0) + 1) * BLOCK_Q), BLOCK_K):  # nothing ahead of a row counts
        column = start + tl.arange(0, BLOCK_K)
        there = (column[:, None] < T) & (depth[None, :] < WIDTH)
        at = qkv_ptr + column[:, None] * 3 * channels + depth[None, :]
        k = tl.load(at + channels, mask=there, other=0.0)
        v = tl.load(at + 2 * channels, mask=there, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(column[None, :] <= row[:, None], scores, -float("inf"))
        higher = tl.maximum(top, tl.max(scores, axis=1))
        weights = tl.exp(scores - higher[:, None])
        shrink = tl.exp(top - higher)
        norm = norm * shrink + tl.sum(weights, axis=1)
        top = higher
        total = total * shrink[:, None]
        total = tl.dot(weights, v, total, input_precision="ieee")
    total = total / norm[:, None]
    out_ptr += batch.to(tl.int64) * T * channels + head * WIDTH
    tl.store(out_ptr + row[:, None] * channels + depth[None, :], total, mask=here)


def attend(qkv, heads):
    """qkv (B, T, 3 C) → (B, T, C); heads side by side in C."""
    batch, T, channels = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    width = channels // heads
    out = torch.empty((batch, T, channels), device=qkv.device, dtype=qkv.dtype)
    attention_kernel[(triton.cdiv(T, 64), batch * heads)](
        qkv, out, T, heads, width, width**-0.5, BLOCK_Q=64, BLOCK_K=32, BLOCK_D=triton.next_power_of_2(width),
        num_warps=8,
    )  # fmt: skip
    return out


@triton.jit
def norm_kernel(x_ptr, y_ptr, weight_ptr, bias_ptr, size, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * size
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row + at, mask=at < size, other=0.0)
    centred = tl.where(at < size, x - tl.sum(x, axis=0) / size, 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, axis=0) / size + eps)
    weight = tl.load(weight_ptr + at, mask=at < size, other=0.0)
    bias = tl.load(bias_ptr + at, mask=at < size, other=0.0)
    tl.store(y_ptr + row + at, centred * scale * weight + bias, mask=at < size)


@triton.jit
def gelu_kernel(x_ptr, y_ptr, size, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < size)
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    tl.store(y_ptr + at, x * tl.sigmoid(2.0 * inner), mask=at < size)


def normalised(x, norm):
    size = x.shape[-1]
    y = torch.empty_like(x)
    norm_kernel[(x.numel() // size,)](x, y, norm.weight, norm.bias, size, norm.eps, BLOCK=triton.next_power_of_2(size))
    return y


class Attention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.n_head = n_head

    def forward(self, x):
        return self.c_proj(attend(self.c_attn(x), self.n_head))


class ModelNew(nn.Module):
    def __init__(self, n_embd, n_head, attn_pdrop, resid_pdrop, max_seqlen):
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd)
        self.attn = Attention(n_embd, n_head)
        self.ln_2 = nn.LayerNorm(n_embd)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(n_embd, 4 * n_embd), "c_proj": nn.Linear(4 * n_embd, n_embd)})

    def forward(self, x):
        x = x + self.attn(normalised(x, self.ln_1))
        hidden = self.mlp["c_fc"](normalised(x, self.ln_2))
        active = torch.empty_like(hidden)
        gelu_kernel[(triton.cdiv(hidden.numel(), 1024),)](hidden, active, hidden.numel(), BLOCK=1024)
        return x + self.mlp["c_proj"](active)
