"""Mamba-2 prefill in two or three launches: the state stays in registers while a program walks along the sequence.

1. A program owns one head of one segment and carries its state [P, N] in fp32 registers from chunk to chunk, so no
   state of a chunk goes through memory: x is read and y written once. With enough heads one segment is the sequence.
2. With few heads the sequence is cut into just enough segments to fill the GPU once. A launch computes what each
   segment adds to the state, walking backwards with growing decays, so that its accumulator is never rescaled; the
   programs of the last launch combine the few earlier segments themselves.
3. Cumulative sums of dt A in fp32, with log2(e) folded in, are formed once and stored heads first, so that the walk
   prefetches them like its matrices and every decay is one `exp2` of a difference; log2(dt) is folded in as well.
   Above the diagonal the exponent is -inf, so nothing overflows. D sits on the diagonal of the scores.
4. Chunks of 64 tokens: what is computed only because of chunks is a third of all products there, two thirds at 256;
   with four warps two programs share a multiprocessor and one computes decays while the other multiplies.
5. Heads are neighbours in the grid, so that B and C, which they share, come from L2.
"""

import torch
import triton
import triton.language as tl

CHUNK = 64
PROGRAMS = 264  # two a multiprocessor on a 132-multiprocessor GPU
LEAST_CHUNKS = 2  # of a segment
MAX_SEGMENTS = 32
LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _decays(
    dt_ptr, a_ptr, total_ptr, entry_ptr, sum_ptr, heads, length, chunks, dt_b, dt_l, dt_h,
    CHUNK: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    """Of one chunk, for some heads: the running sum of dt A log2(e), that less log2(dt), and the whole sum.

    [b, H, chunks · CHUNK] twice and [b, H, chunks]. Past the end nothing decays and nothing enters: dt = 0.
    """
    chunk = tl.program_id(0) % chunks
    batch = (tl.program_id(0) // chunks).to(tl.int64)
    row = chunk * CHUNK + tl.arange(0, CHUNK)[:, None]
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    inside = (row < length) & (head[None, :] < heads)
    dt = tl.load(dt_ptr + batch * dt_b + row * dt_l + head[None, :] * dt_h, mask=inside, other=0.0)
    logs = dt * (tl.load(a_ptr + head, mask=head < heads, other=0.0) * LOG2E)[None, :]
    total = tl.cumsum(logs, axis=0)
    at = (batch * heads + head[None, :]) * chunks
    tl.store(total_ptr + at * CHUNK + row, total, mask=head[None, :] < heads)
    tl.store(entry_ptr + at * CHUNK + row, total - tl.log2(dt), mask=head[None, :] < heads)
    tl.store(sum_ptr + (batch * heads + head) * chunks + chunk, tl.sum(logs, axis=0), mask=head < heads)


@triton.jit
def _rows(base, row, stride, limit, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Rows of a [limit, D] matrix as a [rows, BLOCK_D] tile, zero outside."""
    col = tl.arange(0, BLOCK_D)
    inside = row[:, None] < limit
    if D < BLOCK_D:
        inside = inside & (col[None, :] < D)
    return tl.load(base + row[:, None] * stride + col[None, :], mask=inside, other=0.0)


@triton.jit
def _state_offsets(P: tl.constexpr, N: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr):
    """Offsets into one [P, N] state as a tile, and which are inside."""
    p, n = tl.arange(0, BLOCK_P)[:, None], tl.arange(0, BLOCK_N)[None, :]
    return p * N + n, (p < P) & (n < N)


@triton.jit
def _segment_states(
    x_ptr, entry_ptr, sum_ptr, b_ptr, part_ptr, log_ptr, heads, rep, length, chunks, span, parts,
    x_b, x_l, x_h, b_b, b_l, b_g,
    P: tl.constexpr, N: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """What `span` chunks add to an empty state, [b, parts, H, P, N], and the log2 of their decay [b, parts, H]."""
    head = tl.program_id(0) % heads
    part = tl.program_id(0) // heads % parts
    batch = (tl.program_id(0) // (heads * parts)).to(tl.int64)
    x_ptr += batch * x_b + head * x_h
    b_ptr += batch * b_b + head // rep * b_g
    entry_ptr += (batch * heads + head) * chunks * CHUNK
    sum_ptr += (batch * heads + head) * chunks

    h = tl.zeros((BLOCK_P, BLOCK_N), dtype=tl.float32)
    chunk = part * span + span - 1
    after = tl.load(sum_ptr + chunk)  # the log2 of the decay from here to the end of the segment
    for _step in range(span):
        before = tl.load(sum_ptr + tl.maximum(chunk - 1, 0))  # for the next turn: it need not wait
        row = chunk * CHUNK + tl.arange(0, CHUNK)
        x = _rows(x_ptr, row, x_l, length, P, BLOCK_P)
        b = _rows(b_ptr, row, b_l, length, N, BLOCK_N)
        scaled = x * tl.exp2(after - tl.load(entry_ptr + row))[:, None]
        h = tl.dot(tl.trans(scaled.to(x.dtype)), b, h)
        chunk -= 1
        if chunk >= part * span:
            after += before
    offsets, inside = _state_offsets(P, N, BLOCK_P, BLOCK_N)
    at = (batch * parts + part) * heads + head
    tl.store(part_ptr + at * P * N + offsets, h, mask=inside)
    tl.store(log_ptr + at, after)


def _config(warps, stages):
    return triton.Config({}, num_warps=warps, num_stages=stages)


@triton.autotune(configs=[_config(4, 2), _config(4, 1), _config(4, 3)], key=["heads", "length", "segments"])
@triton.jit
def _outputs(
    x_ptr, total_ptr, entry_ptr, sum_ptr, b_ptr, c_ptr, d_ptr, h0_ptr, part_ptr, log_ptr, y_ptr, state_ptr,
    heads, rep, length, chunks, span, segments, x_b, x_l, x_h, b_b, b_l, b_g, c_b, c_l, c_g,
    P: tl.constexpr, N: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """y of one segment of one head; the last segment also stores the final state."""
    head = tl.program_id(0) % heads
    segment = tl.program_id(0) // heads % segments
    batch = (tl.program_id(0) // (heads * segments)).to(tl.int64)
    plane = batch * heads + head
    x_ptr += batch * x_b + head * x_h
    b_ptr += batch * b_b + head // rep * b_g
    c_ptr += batch * c_b + head // rep * c_g
    y_ptr += (batch * length * heads + head) * P
    total_ptr += plane * chunks * CHUNK
    entry_ptr += plane * chunks * CHUNK
    sum_ptr += plane * chunks
    skip = tl.load(d_ptr + head)

    offsets, inside = _state_offsets(P, N, BLOCK_P, BLOCK_N)
    h = tl.load(h0_ptr + plane * P * N + offsets, mask=inside, other=0.0)
    for part in range(segment):
        at = (batch * (segments - 1) + part) * heads + head
        h = h * tl.exp2(tl.load(log_ptr + at)) + tl.load(part_ptr + at * P * N + offsets, mask=inside, other=0.0)

    i, p = tl.arange(0, CHUNK), tl.arange(0, BLOCK_P)
    first, last = segment * span, tl.minimum(segment * span + span, chunks)
    whole = tl.load(sum_ptr + first)
    for chunk in range(first, last):
        following = tl.load(sum_ptr + tl.minimum(chunk + 1, chunks - 1))  # for the next turn: it need not wait
        row = chunk * CHUNK + i
        total, entry = tl.load(total_ptr + row), tl.load(entry_ptr + row)
        b = _rows(b_ptr, row, b_l, length, N, BLOCK_N)
        c = _rows(c_ptr, row, c_l, length, N, BLOCK_N)
        x = _rows(x_ptr, row, x_l, length, P, BLOCK_P)
        # the state first: x need not stay in registers while the scores are there
        y = tl.dot(c, tl.trans(h.to(c.dtype))) * tl.exp2(total)[:, None]
        scaled = x * tl.exp2(whole - entry)[:, None]
        h = tl.dot(tl.trans(scaled.to(x.dtype)), b, h * tl.exp2(whole))
        exponent = tl.where(i[:, None] >= i[None, :], total[:, None] - entry[None, :], -float("inf"))
        scores = tl.dot(c, tl.trans(b)) * tl.exp2(exponent)
        scores = tl.where(i[:, None] == i[None, :], scores + skip, scores)
        y = tl.dot(scores.to(x.dtype), x, y)
        stored = (row[:, None] < length) & (p[None, :] < P)
        tl.store(y_ptr + row[:, None] * (heads * P) + p[None, :], y.to(y_ptr.dtype.element_ty), mask=stored)
        whole = following
    if segment == segments - 1:
        tl.store(state_ptr + plane * P * N + offsets, h, mask=inside)


def _segments(planes, chunks):
    """(chunks a segment, segments): enough programs to fill the GPU, no empty segment."""
    wanted = max(1, min(PROGRAMS // planes, chunks // LEAST_CHUNKS, MAX_SEGMENTS))
    span = triton.cdiv(chunks, wanted)
    return span, triton.cdiv(chunks, span)


def _rows_contiguous(t):
    return t if t.stride(-1) == 1 else t.contiguous()


def ssd_prefill(x, dt, A, B, C, D, h0):
    """x [b, L, H, P], dt [b, L, H] fp32, A, D [H] fp32, B, C [b, L, G, N], h0 [b, H, P, N] fp32 → y, state."""
    x, B, C = _rows_contiguous(x), _rows_contiguous(B), _rows_contiguous(C)
    A, D, h0 = A.contiguous(), D.contiguous(), h0.contiguous()
    batch, length, heads, p = x.shape
    n, chunks = B.shape[3], triton.cdiv(length, CHUNK)
    y = torch.empty((batch, length, heads, p), dtype=x.dtype, device=x.device)
    state = torch.empty((batch, heads, p, n), dtype=torch.float32, device=x.device)
    if x.numel() == 0 or n == 0:
        return y, state
    span, segments = _segments(batch * heads, chunks)
    total = torch.empty((batch, heads, chunks * CHUNK), dtype=torch.float32, device=x.device)
    entry = torch.empty_like(total)
    sums = torch.empty((batch, heads, chunks), dtype=torch.float32, device=x.device)
    parts = max(1, segments - 1)
    part = torch.empty((batch, parts, heads, p, n), dtype=torch.float32, device=x.device)
    log = torch.empty((batch, parts, heads), dtype=torch.float32, device=x.device)
    tile = {
        "P": p,
        "N": n,
        "BLOCK_P": max(16, triton.next_power_of_2(p)),
        "BLOCK_N": max(16, triton.next_power_of_2(n)),
    }
    _decays[(batch * chunks, triton.cdiv(heads, 32))](
        dt, A, total, entry, sums, heads, length, chunks, dt.stride(0), dt.stride(1), dt.stride(2),
        CHUNK=CHUNK, BLOCK_H=32, num_warps=4,
    )  # fmt: skip
    if segments > 1:
        _segment_states[(batch * parts * heads,)](
            x, entry, sums, B, part, log, heads, heads // B.shape[2], length, chunks, span, parts,
            x.stride(0), x.stride(1), x.stride(2), B.stride(0), B.stride(1), B.stride(2),
            CHUNK=CHUNK, **tile, num_warps=4, num_stages=3,
        )  # fmt: skip
    _outputs[(batch * segments * heads,)](
        x, total, entry, sums, B, C, D, h0, part, log, y, state, heads, heads // B.shape[2], length, chunks, span,
        segments, x.stride(0), x.stride(1), x.stride(2), B.stride(0), B.stride(1), B.stride(2),
        C.stride(0), C.stride(1), C.stride(2), CHUNK=CHUNK, **tile,
    )  # fmt: skip
    return y, state
