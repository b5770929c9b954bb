"""One decoding step of a Mamba-2 mixer: convolution state, SiLU, state update, readout (row `ssd_decode`).

Unusual: both states change in place. The convolution's channels of B and C are read by every head of a group, and their
state is overwritten too, so one launch in which each head reads and shifts what it needs would be a race.
The definition returns the new states and leaves its arguments as they are; the operator overwrites them.
"""

import torch
import torch.nn.functional as F

FAMILY = "recurrence"
TOLERANCE = "TB"
MUTATES = (0, 1)
DESCRIPTION = (
    "One token of a Mamba-2 mixer. State h [b, H, P, N] fp32, convolution state conv [b, ch, 4] with ch = H·P + 2·G·N, "
    "new token xbc [b, ch], depthwise filter cw [ch, 4] and bias cb [ch], dt [b, H] fp32 > 0, A [H] fp32 < 0, "
    "D [H] fp32. Shift conv left by one and append xbc; u = silu(sum(conv · cw, -1) + cb), split into x [b, H, P], "
    "B [b, G, N], C [b, G, N] in this order (head h reads group h // (H // G)); h = exp(dt · A) · h + dt · x ⊗ B; "
    "y = h · C + D · x. h and conv are updated in place; returns (y [b, H, P] in the dtype of xbc, h, conv)."
)
HEADLINES = ()
CASES = (
    {"name": "tiny", "tier": "cpu", "args": {"b": 1, "h": 2, "p": 16, "n": 16, "g": 1, "dtype": "bfloat16"}},
    {
        "name": "tiny_fp32",
        "tier": "cpu",
        "args": {"b": 2, "h": 4, "p": 16, "n": 32, "g": 2, "dtype": "float32"},
        "distribution": "heavy_tailed",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"b": 3, "h": 3, "p": 37, "n": 45, "g": 1, "dtype": "bfloat16"},
    },
    {
        "name": "tiny_wide",
        "tier": "cpu",
        "args": {"b": 2, "h": 2, "p": 64, "n": 128, "g": 1, "dtype": "bfloat16"},
        "distribution": "large",
    },
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"b": 5, "h": 6, "p": 16, "n": 16, "g": 3, "dtype": "bfloat16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_narrow",
        "tier": "cpu",
        "args": {"b": 7, "h": 1, "p": 5, "n": 3, "g": 1, "dtype": "float32"},
        "hidden": True,
    },
    {
        "name": "s",
        "tier": "gpu",
        "args": {"b": 1, "h": 80, "p": 64, "n": 128, "g": 1, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "t",
        "tier": "gpu",
        "args": {"b": 128, "h": 80, "p": 64, "n": 128, "g": 1, "dtype": "bfloat16"},
        "timed": True,
    },
    {
        "name": "r",
        "tier": "gpu",
        "args": {"b": 5, "h": 24, "p": 64, "n": 128, "g": 1, "dtype": "bfloat16"},
        "timed": True,
    },
)


def make_inputs(case, draw):
    """h, conv, xbc, cw, cb, dt, A, D; dt = softplus(normal - 4) and A in (-16, -1], whatever the distribution."""
    b, h, p, n, g, dtype = (case[key] for key in ("b", "h", "p", "n", "g", "dtype"))
    channels = h * p + 2 * g * n
    state = draw.normal(b, h, p, n, scale=0.1)
    conv, xbc = draw.normal(b, channels, 4, dtype=dtype), draw.normal(b, channels, dtype=dtype)
    cw, cb = draw.weight(channels, 4, dtype=dtype), draw.uniform(channels, low=-0.5, high=0.5, dtype=dtype)
    dt = F.softplus(draw.weight(b, h) * h**0.5 - 4)
    return state, conv, xbc, cw, cb, dt, -draw.uniform(h, low=1.0, high=16.0), draw.uniform(h, low=0.5, high=1.5)


def ssd_decode(h, conv, xbc, cw, cb, dt, A, D):
    """h [b, H, P, N] fp32, conv [b, ch, 4], xbc [b, ch], cw [ch, 4], cb [ch], dt [b, H], A, D [H] → y, h, conv."""
    _, heads, p, n = h.shape
    groups = (xbc.shape[1] - heads * p) // (2 * n)
    conv = torch.cat([conv[..., 1:], xbc[..., None]], -1)
    u = F.silu((conv.float() * cw.float()).sum(-1) + cb.float())
    x = u[:, : heads * p].reshape(-1, heads, p)
    b, c = u[:, heads * p :].reshape(-1, 2, groups, n).repeat_interleave(heads // groups, 2).unbind(1)
    step = dt.float()
    h = h.float() * torch.exp(step * A.float())[..., None, None] + (step[..., None] * x)[..., None] * b[:, :, None]
    y = (h * c[:, :, None]).sum(-1) + D.float()[:, None] * x
    return y.to(xbc.dtype), h, conv


def eager(h, conv, xbc, cw, cb, dt, A, D):
    """The dozen small operators of a Mamba-2 step in the dtype of xbc; both states are updated in place."""
    _, heads, p, n = h.shape
    groups = (xbc.shape[1] - heads * p) // (2 * n)
    conv.copy_(torch.roll(conv, -1, -1))
    conv[..., -1] = xbc
    u = F.silu((conv * cw).sum(-1) + cb)
    x, b, c = u.split([heads * p, groups * n, groups * n], -1)
    x = x.reshape(-1, heads, p)
    b, c = (t.reshape(-1, groups, n).repeat_interleave(heads // groups, 1) for t in (b, c))
    h.mul_(torch.exp(dt * A)[..., None, None]).add_(torch.einsum("bh,bhp,bhn->bhpn", dt, x.float(), b.float()))
    y = torch.einsum("bhpn,bhn->bhp", h.to(xbc.dtype), c) + D.to(xbc.dtype)[:, None] * x
    return y, h, conv


def cost(case):
    """Both states read and written, the token read, y written; the arithmetic does not count."""
    b, h, p, n, g = (case[key] for key in ("b", "h", "p", "n", "g"))
    channels, size = h * p + 2 * g * n, 4 if case["dtype"] == "float32" else 2
    return {"bytes": 8 * b * h * p * n + size * (9 * b * channels + 5 * channels + b * h * p), "flops": 0}
