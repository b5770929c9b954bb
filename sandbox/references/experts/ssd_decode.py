"""One Mamba-2 decoding step in two launches: everything, then the shift of the few channels that heads share.

1. A program owns rows of one head's state [rows, N]: it is read once and written once with 16-byte accesses, and its
   load is issued first, so that convolutions, SiLU and decays run in its shadow.
2. Each program convolves its own channels of x and, from L2, the group's B and C; nothing is staged through memory.
   Channels of x belong to one program, which shifts their convolution state on the spot.
3. The state of the B and C channels is read by all programs of the first launch, so a second, tiny one shifts it.
4. The four taps of a channel are one 8-byte access; the shift is a renaming of registers (split and join).
5. Few rows a program fill the GPU at batch 1, more rows share the convolution of B and C at large batches.
"""

import torch
import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _split_taps(at, mask):
    """The four taps of each channel, from `at` [channels, 4]; four tensors [channels]."""
    pairs = tl.reshape(tl.load(at, mask=mask, other=0.0), (at.shape[0], 2, 2))
    even, odd = tl.split(pairs)
    t0, t2 = tl.split(even)
    t1, t3 = tl.split(odd)
    return t0, t1, t2, t3


@triton.jit
def _shift(at, mask, t1, t2, t3, new):
    """Taps one to three become zero to two, `new` is the last; one store a channel."""
    pairs = tl.join(tl.join(t1, t3), tl.join(t2, new))
    tl.store(at, tl.reshape(pairs, (at.shape[0], 4)), mask=mask)


@triton.jit
def _convolved(conv_ptr, xbc_ptr, cw_ptr, cb_ptr, channel, inside, SHIFT: tl.constexpr):
    """SiLU of the convolution of `channel` [BLOCK] in fp32; with SHIFT its state moves on."""
    taps = channel[:, None] * 4 + tl.arange(0, 4)[None, :]
    _, t1, t2, t3 = _split_taps(conv_ptr + taps, inside[:, None])
    w0, w1, w2, w3 = _split_taps(cw_ptr + taps, inside[:, None])
    new = tl.load(xbc_ptr + channel, mask=inside, other=0.0)
    u = tl.load(cb_ptr + channel, mask=inside, other=0.0).to(tl.float32)
    u += t1.to(tl.float32) * w0.to(tl.float32) + t2.to(tl.float32) * w1.to(tl.float32)
    u += t3.to(tl.float32) * w2.to(tl.float32) + new.to(tl.float32) * w3.to(tl.float32)
    if SHIFT:
        _shift(conv_ptr + taps, inside[:, None], t1, t2, t3, new)
    return u / (1.0 + tl.exp2(-u * LOG2E))


def _config(rows, warps):
    return triton.Config({"BLOCK_P": rows}, num_warps=warps)


@triton.autotune(
    configs=[_config(16, 4), _config(16, 2), _config(32, 4), _config(64, 4), _config(64, 8)],
    key=["programs", "P", "N"],
    restore_value=["h_ptr", "conv_ptr"],
)
@triton.jit
def _step(
    h_ptr, conv_ptr, xbc_ptr, cw_ptr, cb_ptr, dt_ptr, a_ptr, d_ptr, y_ptr, heads, groups, channels, programs,
    P: tl.constexpr, N: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """State update and readout of rows of one head; `programs` only tells the autotuner how full the GPU is."""
    tiles: tl.constexpr = (P + BLOCK_P - 1) // BLOCK_P
    plane = (tl.program_id(0) // tiles).to(tl.int64)
    batch, head = plane // heads, plane % heads
    p = tl.program_id(0) % tiles * BLOCK_P + tl.arange(0, BLOCK_P)
    n = tl.arange(0, BLOCK_N)
    at = h_ptr + plane * P * N + p[:, None] * N + n[None, :]
    inside = (p[:, None] < P) & (n[None, :] < N)
    h = tl.load(at, mask=inside, other=0.0)

    dt = tl.load(dt_ptr + plane)
    fade = tl.exp2(dt * tl.load(a_ptr + head) * LOG2E)
    conv_ptr += batch * channels * 4
    xbc_ptr += batch * channels
    shared = heads * P + head // (heads // groups) * N + n
    x = _convolved(conv_ptr, xbc_ptr, cw_ptr, cb_ptr, head * P + p, p < P, True)
    b = _convolved(conv_ptr, xbc_ptr, cw_ptr, cb_ptr, shared, n < N, False)
    c = _convolved(conv_ptr, xbc_ptr, cw_ptr, cb_ptr, shared + groups * N, n < N, False)
    h = h * fade + (dt * x)[:, None] * b[None, :]
    tl.store(at, h, mask=inside)
    y = tl.sum(h * c[None, :], axis=1) + tl.load(d_ptr + head) * x
    tl.store(y_ptr + plane * P + p, y.to(y_ptr.dtype.element_ty), mask=p < P)


@triton.jit
def _shift_shared(conv_ptr, xbc_ptr, first, channels, BLOCK: tl.constexpr):
    """The convolution state of channels [first, channels) of one batch moves on."""
    batch = tl.program_id(0).to(tl.int64)
    channel = first + tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    taps = conv_ptr + batch * channels * 4 + channel[:, None] * 4 + tl.arange(0, 4)[None, :]
    _, t1, t2, t3 = _split_taps(taps, inside[:, None])
    new = tl.load(xbc_ptr + batch * channels + channel, mask=inside, other=0.0)
    _shift(taps, inside[:, None], t1, t2, t3, new)


def ssd_decode(h, conv, xbc, cw, cb, dt, A, D):
    """h [b, H, P, N] fp32, conv [b, ch, 4], xbc [b, ch], cw [ch, 4], cb [ch], dt [b, H], A, D [H] → y, h, conv."""
    state, window = h.contiguous(), conv.contiguous()  # themselves, unless somebody keeps them in strides
    xbc, cw, cb, dt = xbc.contiguous(), cw.contiguous(), cb.contiguous(), dt.contiguous()
    A, D = A.contiguous(), D.contiguous()
    batch, heads, p, n = h.shape
    channels = xbc.shape[1]
    y = torch.empty((batch, heads, p), dtype=xbc.dtype, device=xbc.device)
    if h.numel() == 0:
        return y, h, conv
    _step[lambda meta: (batch * heads * triton.cdiv(p, meta["BLOCK_P"]),)](
        state, window, xbc, cw, cb, dt, A, D, y, heads, (channels - heads * p) // (2 * n), channels, batch * heads,
        P=p, N=n, BLOCK_N=triton.next_power_of_2(n),
    )  # fmt: skip
    _shift_shared[(batch, triton.cdiv(channels - heads * p, 256))](
        window, xbc, heads * p, channels, BLOCK=256, num_warps=4
    )  # fmt: skip
    if not h.is_contiguous():
        h.copy_(state)
    if not conv.is_contiguous():
        conv.copy_(window)
    return y, h, conv
