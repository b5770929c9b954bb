"""Linear layer and cross-entropy in one, forward and backward: mean loss, and its gradients (Chronicals, row 02).

Unusual: the logits [N, V] must not exist; at the paper's size they take 5 GB in fp32, and all that a candidate may use
besides the gradients is 135 MB. Hidden states are three times a unit normal, as logits of trained models spread: with
unit logits the softmax is so flat that a gradient of the weights without its softmax term would pass unnoticed.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
TOLERANCE = "TB"
HEADLINES = (
    {"claim": "logits from 5 GB to 135 MB", "case": "t", "against": "eager", "measure": "memory", "ratio": 37.0},
    {"claim": "no slower than unfused", "case": "t", "against": "eager", "measure": "time", "ratio": 1.0},
    {"claim": "no slower than compiled", "case": "t", "against": "compile", "measure": "time", "ratio": 1.0},
)
DESCRIPTION = (
    "Forward and backward of mean cross-entropy of a linear layer: for hidden states [N, D], weight [V, D] and int64 "
    "target [N], the logits are z = hidden @ weightᵀ and the loss is the mean of logsumexp(z[n]) - z[n, target[n]] "
    "over the rows whose target is not -100 (0 if there are none). Returns (loss, an fp32 scalar of shape []; "
    "d loss / d hidden [N, D] in the dtype of hidden; d loss / d weight [V, D] in the dtype of weight). Sums are taken "
    "in fp32. Materialising [N, V] is what must be avoided."
)
CASES = (
    {"name": "tiny", "tier": "cpu", "args": {"n": 24, "d": 64, "v": 256, "dtype": "bfloat16"}},
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"n": 16, "d": 32, "v": 128, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"n": 27, "d": 72, "v": 347, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_many_rows",
        "tier": "cpu",
        "args": {"n": 300, "d": 48, "v": 67, "dtype": "float16"},
        "distribution": "large",
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"n": 19, "d": 100, "v": 523, "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_narrow",
        "tier": "cpu",
        "args": {"n": 5, "d": 17, "v": 33, "dtype": "float32"},
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"n": 1024, "d": 896, "v": 32000, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {"n": 8192, "d": 896, "v": 151936, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "l",
        "tier": "gpu",
        "args": {"n": 8192, "d": 3584, "v": 152064, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"n": 3000, "d": 2048, "v": 50257, "dtype": "bfloat16"},
        "timed": True,
    },
)
SLICE_ELEMENTS = 2**28
"""Logits held at a time: 2 GiB in float64. Small cases are one slice."""


def make_inputs(case, draw):
    """hidden [n, d], weight [v, d], target [n] int64 with about 10 % of the rows ignored."""
    n, v = case["n"], case["v"]
    target = draw.integers(n, low=0, high=v)
    target[draw.booleans(n, probability=0.1)] = -100
    target[n // 2] = -100
    target[0] = v - 1
    hidden = draw.normal(n, case["d"], dtype=case["dtype"], scale=3.0)
    return hidden, draw.weight(v, case["d"], dtype=case["dtype"]), target


def chron_linear_ce(hidden, weight, target):
    """hidden [N, D], weight [V, D], target [N] → loss [] fp32, d loss / d hidden [N, D], d loss / d weight [V, D]."""
    hidden32, weight32, kept = hidden.float(), weight.float(), target != -100
    chosen, share = target.clamp_min(0), kept.float() / kept.sum().clamp_min(1)
    rows = max(1, SLICE_ELEMENTS // weight.shape[0])
    losses, d_hidden, d_weight = [], [], torch.zeros_like(weight32)
    for part in (slice(first, first + rows) for first in range(0, hidden.shape[0], rows)):
        logits, index, factor = hidden32[part] @ weight32.T, chosen[part, None], share[part, None]
        lse = logits.logsumexp(-1, keepdim=True)
        losses.append((lse - logits.gather(1, index)) * factor)
        gradient = (logits - lse).exp_() * factor
        gradient.scatter_add_(1, index, -factor)
        d_hidden.append(gradient @ weight32)
        d_weight += gradient.T @ hidden32[part]
    return torch.cat(losses).sum(), torch.cat(d_hidden).to(hidden.dtype), d_weight.to(weight.dtype)


def eager(hidden, weight, target):
    """Autograd over the layer in the case's dtype and cross-entropy in fp32."""
    with torch.enable_grad():
        hidden, weight = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
        loss = F.cross_entropy((hidden @ weight.T).float(), target)
        d_hidden, d_weight = torch.autograd.grad(loss, (hidden, weight))
    return loss.detach(), d_hidden, d_weight


def library(hidden, weight, target):
    """The memory-lean form that libraries ship: rows in pieces, logits of a piece replaced by their gradient, matrix
    products by cuBLAS. `weight`'s gradient is added up in fp32, so that it stays within tolerance."""
    n, (v, d) = hidden.shape[0], weight.shape
    rows = min(n, max(128, 2 ** (n * d // v).bit_length()))
    scale = 1.0 / (target != -100).sum().clamp_min(1)
    loss = torch.zeros((), device=hidden.device)
    d_hidden, d_weight = torch.empty_like(hidden), torch.zeros_like(weight, dtype=torch.float32)
    for first in range(0, n, rows):
        part = slice(first, first + rows)
        kept, index = target[part] != -100, target[part].clamp_min(0)[:, None]
        logits = (hidden[part] @ weight.T).float()
        lse = logits.logsumexp(-1, keepdim=True)
        loss += ((lse - logits.gather(1, index)).squeeze(1) * kept).sum()
        gradient = torch.softmax(logits, -1).scatter_add_(1, index, torch.full_like(lse, -1.0))
        gradient = (gradient * (kept * scale)[:, None]).to(hidden.dtype)
        d_hidden[part] = gradient @ weight
        d_weight += gradient.T @ hidden[part]
    return loss * scale, d_hidden, d_weight.to(weight.dtype)


def cost(case):
    """Logits and both gradients once, 6·N·D·V; a candidate that recomputes the logits in the backward does 8·N·D·V."""
    size = 4 if case["dtype"] == "float32" else 2
    n, d, v = case["n"], case["d"], case["v"]
    return {"bytes": 2 * size * d * (n + v) + 8 * n, "flops": 6 * n * d * v}
