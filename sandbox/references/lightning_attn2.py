"""Lightning Attention-2: causal linear attention, one decay a head: `o_i = q_i · Σ_{j<=i} e^{-slope (i-j)} k_jᵀ v_j`.

Unusual: no softmax and no normaliser; a state [D, E] a head is handed in and out, so that one call equals two calls
over the halves of the sequence. Within a chunk the decayed scores are a small masked matrix, and all earlier tokens
are in the state: the cost per token does not depend on the length. Every exponent is <= 0, whatever the slope.
"""

import torch

FAMILY = "linear_attention"
TOLERANCE = "TB"
DESCRIPTION = (
    "Lightning attention (causal, linear, one decay a head) for q, k [B, H, N, D], v [B, H, N, E], slope [H] fp32 >= 0 "
    "and an initial state S [B, H, D, E] fp32: S_i = exp(-slope) S_{i-1} + k_iᵀ v_i and o_i = q_i S_i, without scale "
    "or normaliser. Returns (o [B, H, N, E] in the dtype of q, the state after the last token [B, H, D, E] fp32). "
    "Slopes range from 0 (nothing is forgotten) to 4 (the state forgets within a few tokens)."
)
HEADLINES = (
    {
        "claim": "faster than flash attention of the same width from N = 4096 on (row 47)",
        "case": "n4k",
        "against": "library",
        "measure": "time",
        "ratio": 1.0,
    },
    {
        "claim": "faster than flash attention of the same width at N = 8192 (row 47)",
        "case": "t",
        "against": "library",
        "measure": "time",
        "ratio": 1.0,
    },
    {
        "claim": "constant time per token: at N = 131072 as at 4096, where flash attention's is 32-fold (row 47)",
        "case": "l",
        "against": "library",
        "measure": "time",
        "ratio": 32.0,
    },
)
CASES = (
    {
        "name": "tiny",
        "tier": "cpu",
        "args": {"b": 1, "h": 2, "n": 128, "d": 32, "e": 32, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"b": 1, "h": 3, "n": 96, "d": 16, "e": 32, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"b": 2, "h": 2, "n": 77, "d": 24, "e": 40, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_long",
        "tier": "cpu",
        "args": {"b": 1, "h": 1, "n": 1291, "d": 16, "e": 16, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"b": 1, "h": 3, "n": 261, "d": 32, "e": 16, "dtype": "float32", "features": "positive"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_split",
        "tier": "cpu",
        "args": {"b": 1, "h": 3, "n": 700, "d": 16, "e": 16, "dtype": "bfloat16"},
        "distribution": "large",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_one",
        "tier": "cpu",
        "args": {"b": 3, "h": 4, "n": 1, "d": 33, "e": 17, "dtype": "bfloat16"},
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"b": 2, "h": 8, "n": 1024, "d": 64, "e": 64, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {"b": 4, "h": 32, "n": 8192, "d": 128, "e": 128, "dtype": "bfloat16"},
        "timed": True,
    },
    # n4k and l have the same number of tokens: their times are times per token
    {
        "name": "n4k",
        "tier": "gpu",
        "args": {"b": 32, "h": 32, "n": 4096, "d": 128, "e": 128, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "l",
        "tier": "gpu",
        "args": {"b": 1, "h": 32, "n": 131072, "d": 128, "e": 128, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"b": 2, "h": 12, "n": 3001, "d": 96, "e": 96, "dtype": "bfloat16"},
        "timed": True,
    },
)
CHUNK = 256
"""Tokens whose scores are held at a time: 0.5 GiB in float64 at b · h = 1024."""


def make_inputs(case, draw):
    """q (scaled by d**-0.5), k, v, slope [h] fp32 and the initial state.

    Slopes are 2^(-8 (i + 1) / h) times a random layer factor; the first head of several never forgets, and the last
    of three or more forgets at once. `features` may be `positive`, for k and v: the sum of outliers of either sign is
    near zero now and then, and what TF32 makes of its terms is not (3 of 900 structured draws refused the expert).
    """
    b, h, n, d, e, dtype = (case[key] for key in ("b", "h", "n", "d", "e", "dtype"))
    q = draw.normal(b, h, n, d, dtype=dtype, scale=d**-0.5)
    k, v = draw.normal(b, h, n, d, dtype=dtype), draw.normal(b, h, n, e, dtype=dtype)
    if case.get("features") == "positive":
        k, v = k.abs(), v.abs()
    head = torch.arange(h)
    slope = torch.exp2(-8.0 * (head + 1) / h) * draw.uniform(1, low=0.25, high=1.0)
    slope = torch.where((head == 0) & (h > 1), 0.0, torch.where((head == h - 1) & (h > 2), 4.0, slope))
    return q, k, v, slope.float(), draw.normal(b, h, d, e)


def decays(slope, tokens, first=0):
    """e^{-slope (tokens - first)} for tokens [n] → [H, n, 1]; zero where a token comes before `first`."""
    distance = (tokens - first)[:, None].float()
    return torch.where(distance >= 0, torch.exp(-slope[:, None, None].float() * distance.clamp_min(0)), 0.0)


def lightning_attn2(q, k, v, slope, state):
    """q, k [B, H, N, D], v [B, H, N, E], slope [H], state [B, H, D, E] → (o [B, H, N, E], new state).

    The recurrence in chunks: exact, and CHUNK times fewer steps.
    """
    n, carried, outputs = q.shape[2], state.float(), [v[:, :, :0].to(q.dtype)]
    for first in range(0, n, CHUNK):
        q32, k32, v32 = (x[:, :, first : first + CHUNK].float() for x in (q, k, v))
        token = torch.arange(q32.shape[2], device=q.device)
        distance = (token[:, None] - token).float()
        fade = torch.exp(-slope[:, None, None].float() * distance.clamp_min(0)) * (distance >= 0)
        o = ((q32 @ k32.mT) * fade) @ v32 + decays(slope, token + 1) * (q32 @ carried)
        length = len(token)
        left = k32 * decays(slope, length - 1 - token)
        carried = decays(slope, torch.full_like(token[:1], length)) * carried + left.mT @ v32
        outputs.append(o.to(q.dtype))
    return torch.cat(outputs, 2), carried


def eager(q, k, v, slope, state):
    """All chunks at once in the dtype of q, with states in fp32: scores within chunks, one state a chunk, a sum of
    decayed states before each chunk, and what the queries read from it."""
    n, size = q.shape[2], 256
    pad = -n % size
    q, k, v = (
        torch.nn.functional.pad(x, (0, 0, 0, pad)).reshape(*x.shape[:2], -1, size, x.shape[3]) for x in (q, k, v)
    )
    token = torch.arange(size, device=q.device)
    bounds = (torch.arange((n + pad) // size + 1, device=q.device) * size).clamp_max(n)
    starts, ends = bounds[:-1], bounds[1:]
    distance = (token[:, None] - token).float()
    fade = torch.exp(-slope[:, None, None] * distance.clamp_min(0)) * (distance >= 0)  # [H, size, size]
    o = ((q @ k.mT) * fade[:, None].to(q.dtype)) @ v

    left = (ends[:, None] - 1 - starts[:, None] - token).clamp_min(0)  # [chunks, size]; padded keys are zero
    states = (k * torch.exp(-slope[:, None, None] * left)[..., None].to(k.dtype)).mT @ v
    gap = bounds[:, None] - ends  # from the end of a chunk to the start of a later one, or to the end of all
    weight = torch.exp(-slope[:, None, None] * gap.clamp_min(0)) * (gap >= 0)  # [H, chunks + 1, chunks]
    before = (weight @ states.float().flatten(3)).reshape(*state.shape[:2], -1, *state.shape[2:])
    before = before + torch.exp(-slope[:, None] * bounds)[..., None, None] * state[:, :, None]
    reach = torch.exp(-slope[:, None] * (token + 1))[:, None, :, None].to(q.dtype)
    o = o + (q @ before[:, :, :-1].to(q.dtype)) * reach
    return o.flatten(2, 3)[:, :, :n], before[:, :, -1]


def library(q, k, v, slope, state):
    """Causal softmax attention of the same width: a different function, only timed; decays and state are not used."""
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True), state


def cost(case):
    """q, k, v in and o out, the state both ways; matrix products of the chunked form with chunks of 64."""
    planes, n, d, e, chunk = case["b"] * case["h"], case["n"], case["d"], case["e"], 64
    size = 4 if case["dtype"] == "float32" else 2
    return {
        "bytes": planes * (size * n * (2 * d + 2 * e) + 8 * d * e) + 4 * case["h"],
        "flops": planes * n * (2 * chunk * d + 2 * chunk * e + 4 * d * e),
    }
