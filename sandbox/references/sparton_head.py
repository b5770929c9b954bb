"""Sparse retrieval head: `y[b, v] = max over s of mask[b, s] · log1p(relu(H[b, s] · W[v] + bias[v]))` (Sparton).

Unusual: log1p(relu(·)) never decreases and the result is never negative, so it may be applied once, to the maximum of
the raw scores over unmasked tokens; nothing of size [B, S, V] needs to exist. A row without tokens gives zeros.
"""

import torch

FAMILY = "sparse_retrieval"
TOLERANCE = "TB"
DESCRIPTION = (
    "Sparse retrieval head: for hidden states [B, S, D], vocabulary weights [V, D], bias [V] and a 0/1 int64 mask "
    "[B, S], the maximum over tokens of mask · log1p(relu(hidden @ weightᵀ + bias)), fp32 [B, V]. A sequence whose "
    "mask is all zero gives zeros. Materialising [B, S, V] is what must be avoided."
)
HEADLINES = (
    {"claim": "up to 4.8x over PyTorch, V about 30k", "case": "t", "against": "eager", "measure": "time", "ratio": 4.8},
    {"claim": "up to 4.8x over PyTorch, V = 250k", "case": "l", "against": "eager", "measure": "time", "ratio": 4.8},
    {"claim": "10x less peak memory, V about 30k", "case": "t", "against": "eager", "measure": "memory", "ratio": 10.0},
    {"claim": "10x less peak memory, V = 250k", "case": "l", "against": "eager", "measure": "memory", "ratio": 10.0},
)
CASES = (
    {
        "name": "tiny",
        "tier": "cpu",
        "args": {"b": 2, "s": 32, "d": 64, "v": 128, "bias": -2.0, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"b": 3, "s": 16, "d": 32, "v": 64, "bias": -2.0, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"b": 3, "s": 37, "d": 72, "v": 203, "bias": -1.0, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_long",
        "tier": "cpu",
        "args": {"b": 1, "s": 150, "d": 96, "v": 256, "bias": -2.0, "dtype": "float16"},
        "distribution": "large",
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"b": 4, "s": 21, "d": 80, "v": 131, "bias": 0.5, "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_one",
        "tier": "cpu",
        "args": {"b": 5, "s": 1, "d": 17, "v": 33, "bias": 0.0, "dtype": "float32"},
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"b": 8, "s": 128, "d": 768, "v": 30522, "bias": -4.0, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {"b": 64, "s": 256, "d": 768, "v": 30522, "bias": -4.0, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "l",
        "tier": "gpu",
        "args": {"b": 16, "s": 512, "d": 768, "v": 250002, "bias": -4.0, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"b": 5, "s": 189, "d": 384, "v": 105879, "bias": -4.0, "dtype": "bfloat16"},
        "timed": True,
    },
)
SLICE_ELEMENTS = 2**28
"""Scores held at a time: 2 GiB in float64. Small cases are one slice."""


def make_inputs(case, draw):
    """hidden [b, s, d], weight [v, d], bias [v] fp32 around `bias`, mask [b, s] int64.

    Lengths are random, the second sequence is empty, and about one token in eight within a length is masked too.
    With unit normal scores a bias of -4 leaves about one output in a hundred non-zero at s = 256.
    """
    b, s = case["b"], case["s"]
    hidden = draw.normal(b, s, case["d"], dtype=case["dtype"])
    weight = draw.weight(case["v"], case["d"], dtype=case["dtype"])
    bias = draw.uniform(case["v"], low=case["bias"] - 0.25, high=case["bias"] + 0.25)
    length = draw.integers(b, 1, low=1, high=s + 1)
    length[1:2] = 0
    mask = (torch.arange(s) < length) & draw.booleans(b, s, probability=0.875)
    mask[0, 0] = True
    return hidden, weight, bias, mask.long()


def sparton_head(hidden, weight, bias, mask):
    """hidden [B, S, D], weight [V, D], bias [V], mask [B, S] in {0, 1} → [B, V] fp32, >= 0."""
    b, s, _ = hidden.shape
    each = max(1, SLICE_ELEMENTS // (s * weight.shape[0]))
    weight32, bias32, outputs = weight.float().T, bias.float(), []
    for first in range(0, b, each):
        scores = torch.log1p(torch.relu(hidden[first : first + each].float() @ weight32 + bias32))
        outputs.append((scores * mask[first : first + each, :, None].float()).amax(1))
    return torch.cat(outputs)


def eager(hidden, weight, bias, mask):
    """The chain in the dtype of hidden. Its [B, S, V] scores are rounded next to the bias, hence less exact than TB."""
    scores = torch.log1p(torch.relu(hidden @ weight.T + bias.to(hidden.dtype)))
    return (scores * mask[..., None].to(hidden.dtype)).amax(1).float()


def cost(case):
    """The product over the tokens that `make_inputs` is expected to leave unmasked: 7/16 of each but one sequence."""
    b, s, d, v = (case[key] for key in ("b", "s", "d", "v"))
    size, tokens = 4 if case["dtype"] == "float32" else 2, max(1.0, (b - 1) * (s + 1) / 2 * 0.875)
    return {"bytes": size * d * (tokens + v) + 4 * v + 8 * b * s + 4 * b * v, "flops": 2 * tokens * d * v}
