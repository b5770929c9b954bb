"""Structured state-space duality, prefill: a scalar-decay linear recurrence over a prompt (Mamba-2, row `ssd_prefill`).

Per token t and head: `h = exp(dt_t A) h + dt_t x_t B_tᵀ`, `y_t = h C_t + D x_t`. H / G heads share one B and one C.
The definition works in chunks of 128 tokens: within a chunk `exp` of differences of the cumulative sum of dt A (never
above one, so nothing overflows), between chunks the state. The result does not depend on the chunk.
"""

import math

import torch
import torch.nn.functional as F

FAMILY = "recurrence"
TOLERANCE = "TB"
DESCRIPTION = (
    "State-space recurrence of Mamba-2 over a prompt: x [b, L, H, P], B and C [b, L, G, N] with H a multiple of G "
    "(head h reads group h // (H // G)), dt [b, L, H] fp32 > 0, A [H] fp32 < 0, D [H] fp32, initial state h0 "
    "[b, H, P, N] fp32. For t = 0 .. L-1: h = exp(dt[t] · A) · h + dt[t] · x[t] ⊗ B[t], y[t] = h · C[t] + D · x[t]. "
    "Returns (y [b, L, H, P] in the dtype of x, the state after the last token [b, H, P, N] in fp32)."
)
HEADLINES = ()
CASES = (
    {
        "name": "tiny",
        "tier": "cpu",
        "args": {"b": 1, "l": 64, "h": 2, "p": 16, "n": 16, "g": 1, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"b": 2, "l": 48, "h": 4, "p": 16, "n": 32, "g": 2, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"b": 2, "l": 77, "h": 3, "p": 24, "n": 40, "g": 1, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_long",
        "tier": "cpu",
        "args": {"b": 1, "l": 389, "h": 2, "p": 16, "n": 16, "g": 1, "dtype": "bfloat16"},
        "distribution": "large",
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"b": 1, "l": 131, "h": 6, "p": 16, "n": 16, "g": 3, "dtype": "float32"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_one",
        "tier": "cpu",
        "args": {"b": 3, "l": 1, "h": 1, "p": 33, "n": 7, "g": 1, "dtype": "float32"},
        "hidden": True,
    },
    {
        "name": "tiny_hidden_wide",
        "tier": "cpu",
        "args": {"b": 1, "l": 257, "h": 1, "p": 64, "n": 128, "g": 1, "dtype": "bfloat16"},
        "distribution": "heavy_tailed",
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"b": 1, "l": 512, "h": 24, "p": 64, "n": 128, "g": 1, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {"b": 1, "l": 8192, "h": 80, "p": 64, "n": 128, "g": 1, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "l",
        "tier": "gpu",
        "args": {"b": 8, "l": 8192, "h": 80, "p": 64, "n": 128, "g": 1, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"b": 2, "l": 3000, "h": 24, "p": 64, "n": 128, "g": 1, "dtype": "bfloat16"},
        "timed": True,
    },
)
CHUNK = 128
"""Tokens of a step of the definition. One step of the largest case holds a few GB in float64."""
EAGER_CHUNK = 256


def make_inputs(case, draw):
    """x, dt, A, B, C, D, h0. Only x and h0 follow the case's distribution: dt = softplus(normal - 4), A in (-16, -1],
    B and C normal, since outliers in all factors of a sum of both signs leave nothing but rounding errors.
    """
    b, length, h, p, n, g, dtype = (case[key] for key in ("b", "l", "h", "p", "n", "g", "dtype"))
    x = draw.normal(b, length, h, p, dtype=dtype)
    dt = F.softplus(draw.weight(b, length, h) * h**0.5 - 4)
    a = -draw.uniform(h, low=1.0, high=16.0)
    state = draw.normal(b, h, p, n, scale=0.1)
    shared = (draw.weight(b, length, g, n, dtype=dtype) * n**0.5 for _ in range(2))
    return x, dt, a, *shared, draw.uniform(h, low=0.5, high=1.5), state


def ssd_prefill(x, dt, A, B, C, D, h0):
    """x [b, L, H, P], dt [b, L, H] fp32, A, D [H] fp32, B, C [b, L, G, N], h0 [b, H, P, N] fp32 → y, state."""
    rep, h, outputs = x.shape[2] // B.shape[2], h0.float(), []
    for first in range(0, x.shape[1], CHUNK):
        xs, steps, bs, cs = (t[:, first : first + CHUNK].float() for t in (x, dt, B, C))
        bs, cs = bs.repeat_interleave(rep, 2), cs.repeat_interleave(rep, 2)
        total = (steps * A.float()).cumsum(1)  # [b, Q, H]
        span = total[:, :, None] - total[:, None]  # [b, i, j, H]: from after token j to token i
        later = torch.ones(span.shape[1:3], dtype=torch.bool, device=x.device).triu(1)
        weights = torch.exp(span.masked_fill(later[..., None], -math.inf)) * steps[:, None]
        within = torch.einsum("bijh,bjhp->bihp", torch.einsum("bihn,bjhn->bijh", cs, bs) * weights, xs)
        before = torch.einsum("bihn,bhpn->bihp", cs, h) * torch.exp(total)[..., None]
        outputs.append((within + before + D.float()[:, None] * xs).to(x.dtype))
        fade = torch.exp(total[:, -1:] - total) * steps
        h = h * torch.exp(total[:, -1])[..., None, None] + torch.einsum("bjhp,bjhn->bhpn", xs * fade[..., None], bs)
    return torch.cat(outputs, 1), h


def decays(total):
    """Sums so far [..., Q] → exp of the sum over (j, i], [..., Q, Q] with i before j: zero above the diagonal."""
    later = torch.ones(total.shape[-1], total.shape[-1], dtype=torch.bool, device=total.device).triu(1)
    return torch.exp((total[..., :, None] - total[..., None, :]).masked_fill(later, -math.inf))


def eager(x, dt, A, B, C, D, h0):
    """All chunks of 256 at once, as the Mamba-2 paper lists it, in the dtype of x: [b, H, L/Q, Q, Q] is held.

    Sums go along the axis that they have: Inductor 2.11 splits a scan, and then cannot transpose what it reads.
    """
    length, rep = x.shape[1], x.shape[2] // B.shape[2]
    pad = -length % EAGER_CHUNK
    chunks = (len(x), -1, EAGER_CHUNK)
    xs, bs, cs = (F.pad(t, (0, 0, 0, 0, 0, pad)).reshape(*chunks, *t.shape[2:]) for t in (x, B, C))
    steps = F.pad(dt, (0, 0, 0, pad)).reshape(*chunks, dt.shape[2])  # [b, c, Q, H]
    bs, cs = bs.repeat_interleave(rep, 3), cs.repeat_interleave(rep, 3)
    sums = (steps * A).cumsum(2)
    total = sums.permute(0, 3, 1, 2)  # [b, H, c, Q]
    inputs = (xs * steps[..., None]).to(x.dtype)
    scores = torch.einsum("bcihn,bcjhn->bhcij", cs, bs) * decays(total).to(x.dtype)
    within = torch.einsum("bhcij,bcjhp->bcihp", scores, inputs)
    fade = torch.exp(total[..., -1:] - total).to(x.dtype).permute(0, 2, 3, 1)  # [b, c, Q, H]
    states = torch.einsum("bcjhn,bcjhp->bchpn", bs, inputs * fade[..., None]).float()
    states = torch.cat([h0[:, None], states], 1)
    chunk_sums = F.pad(sums[:, :, -1], (0, 0, 1, 0)).cumsum(1).permute(0, 2, 1)  # [b, H, c + 1]
    states = torch.einsum("bhzc,bchpn->bzhpn", decays(chunk_sums), states)
    before = torch.einsum("bcihn,bchpn->bcihp", cs, states[:, :-1].to(x.dtype))
    before = before * torch.exp(total).to(x.dtype).permute(0, 2, 3, 1)[..., None]
    y = (within + before + D.to(x.dtype)[:, None] * xs).flatten(1, 2)[:, :length]
    return y.contiguous(), states[:, -1].contiguous()


def cost(case):
    """Inputs and outputs once; matrix products of the chunked form with chunks of 64.

    The catalogue counts chunks of 256; shorter ones compute less, and 64 rows are the least of one Hopper instruction.
    """
    b, length, h, p, n, g = (case[key] for key in ("b", "l", "h", "p", "n", "g"))
    size = 4 if case["dtype"] == "float32" else 2
    moved = size * b * length * (2 * h * p + 2 * g * n) + 4 * b * length * h + 8 * b * h * p * n
    return {"bytes": moved, "flops": 2 * b * length * (g * 64 * n + h * (64 * p + 2 * n * p))}
