"""Row norms of an adapted weight, `||W + s · B A||` per row, without forming the product (Scaling DoRA, `dora_norm`).

Unusual: with P = W Aᵀ and G = A Aᵀ the squared norm of a row is sum(W²) + 2 s sum(P · B) + s² sum((B G) · B), so what
has to exist beside the inputs is O(out · rank + rank²), where the dense form holds several copies of [out, in].
The norm is a constant of the backward pass, so there is no gradient.
"""

import torch

FAMILY = "lora"
TOLERANCE = "TT"
DESCRIPTION = (
    "Row norms of a weight with a low-rank update: sqrt(sum over i of (W + s · B @ A)[o, i]²) for W [O, I], A [r, I], "
    "B [O, r] of one dtype and a number s; sums in fp32, TF32 allowed. The result is fp32 [O]. No buffer of size "
    "[O, I] may be needed: the squared norm is sum(W²) + 2 s sum((W Aᵀ) · B) + s² sum((B (A Aᵀ)) · B)."
)
CASES = (
    {"name": "tiny", "tier": "cpu", "args": {"o": 64, "i": 128, "r": 16, "dtype": "bfloat16"}},
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"o": 40, "i": 1100, "r": 8, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"o": 77, "i": 203, "r": 48, "dtype": "bfloat16"},
        "distribution": "large",
    },
    {"name": "tiny_rank", "tier": "cpu", "args": {"o": 130, "i": 160, "r": 144, "dtype": "bfloat16"}},
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"o": 53, "i": 330, "r": 33, "dtype": "float16"},
        "distribution": "structured",
        "hidden": True,
    },
    {"name": "tiny_hidden_one", "tier": "cpu", "args": {"o": 35, "i": 7, "r": 1, "dtype": "float16"}, "hidden": True},
    {
        "name": "tiny_hidden_high",
        "tier": "cpu",
        "args": {"o": 9, "i": 71, "r": 390, "dtype": "bfloat16"},
        "distribution": "heavy_tailed",
        "hidden": True,
    },
    {"name": "s", "tier": "gpu", "timed": True, "args": {"o": 4096, "i": 4096, "r": 16, "dtype": "bfloat16"}},
    {"name": "t", "tier": "gpu", "timed": True, "args": {"o": 8192, "i": 8192, "r": 384, "dtype": "bfloat16"}},
    {"name": "l", "tier": "gpu", "timed": True, "args": {"o": 28672, "i": 8192, "r": 384, "dtype": "bfloat16"}},
    {"name": "r", "tier": "gpu", "timed": True, "args": {"o": 11008, "i": 4096, "r": 48, "dtype": "bfloat16"}},
)
# The paper puts the dense form at 512 MB for a width of 8192 in bf16, and its own intermediates at O·r + r² numbers
# in fp32, which is 12.6 MiB at r = 384. Three copies of [O, I] that exist at once are 384 MiB: 30 times that.
HEADLINES = (
    {
        "claim": "norm scratch of about 512 MB gone, O(O r + r²) left",
        "case": "t",
        "against": "eager",
        "measure": "memory",
        "ratio": 30.0,
    },
)
SLICE_ELEMENTS = 2**27
"""Elements of W held upcast at a time: 1 GiB in float64. Small cases are one slice."""


def make_inputs(case, draw):
    """W [o, i], A [r, i], B [o, r], s = alpha / sqrt(r) with alpha = 8 (rank-stabilised scaling).

    Rows of W differ in scale and hold a share of the update itself, positive or negative: otherwise the cross term
    would be noise, and all norms so alike that a constant would nearly do.
    """
    o, i, r, dtype = case["o"], case["i"], case["r"], case["dtype"]
    s = 8.0 / r**0.5
    a, b = draw.weight(r, i, dtype=dtype), draw.weight(o, r, dtype=dtype)
    scale, share = draw.uniform(o, 1, low=0.5, high=2.0), draw.uniform(o, 1, low=-0.5, high=0.5)
    w = draw.normal(o, i, scale=i**-0.5).mul_(scale)
    return w.add_((s * share * b.float()) @ a.float()).to(b.dtype), a, b, s


def dora_norm(w, a, b, s):
    """w [O, I], a [r, I], b [O, r], s → fp32 [O], the norms of the rows of w + s · b @ a."""
    a32 = a.float()
    gram, squares = a32 @ a32.T, []
    each = max(1, SLICE_ELEMENTS // w.shape[1])
    for first in range(0, w.shape[0], each):
        w32, b32 = w[first : first + each].float(), b[first : first + each].float()
        cross = 2 * s * (w32 @ a32.T) + s * s * (b32 @ gram)
        squares.append(w32.square().sum(1) + (cross * b32).sum(1))
    return torch.cat(squares).clamp_min(0).sqrt().float()


def eager(w, a, b, s):
    """As PEFT does it, in the dtype of the weights: the product, its scaling and the sum all exist as [O, I]."""
    update = b @ a
    adapted = w + s * update
    return torch.linalg.norm(adapted, dim=1, dtype=torch.float32)


def cost(case):
    """Each input is read once; the products W Aᵀ, A Aᵀ and B (A Aᵀ)."""
    o, i, r = case["o"], case["i"], case["r"]
    item = 4 if case["dtype"] == "float32" else 2
    return {"bytes": item * (o * i + r * (o + i)) + 4 * o, "flops": 2 * o * i * r + 2 * r * r * (o + i)}
