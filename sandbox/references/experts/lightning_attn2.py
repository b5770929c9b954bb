"""Lightning Attention-2 in at most three launches: states of parts, states before segments, outputs.

1. A program walks one segment of one head with a [D, 64] tile of the state in fp32 registers: every token is read once,
   scores never leave the chip, and two programs an SM overlap one's products with the other's elementwise work.
2. Where batch · heads alone fill the GPU the segment is the sequence and there is one launch. Where not, the sequence
   is cut: parts of segments give their states first, a small kernel sums them into the state before each segment.
3. Tokens whose decay up to the end of their segment underflows in fp32 are not read for those states: with the usual
   slopes few heads remember a whole segment, and the second reading of k and v costs a few per cent.
4. The decay inside a block is a matrix in registers, formed once. The state update scales v, not k: the smaller tile,
   and k stays in shared memory as the transposed operand.
5. All decays are powers of two with exponents <= 0. Whole blocks carry no masks where the length allows.
"""

import torch
import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
UNDERFLOW = tl.constexpr(128.0)  # 2^-128 is below the smallest normal fp32 number


@triton.jit
def _tile(
    base, start, stride, limit, first_col, width,
    ROWS: tl.constexpr, COLS: tl.constexpr, CHECK_ROWS: tl.constexpr, CHECK_COLS: tl.constexpr,
):  # fmt: skip
    """Rows from `start` and columns from `first_col` of a [limit, width] matrix as [ROWS, COLS], zero outside."""
    row = tl.arange(0, ROWS)
    col = first_col + tl.arange(0, COLS)
    pointer = base + tl.cast(start, tl.int64) * stride + row[:, None] * stride + col[None, :]
    if CHECK_ROWS and CHECK_COLS:
        tile = tl.load(pointer, mask=(start + row[:, None] < limit) & (col[None, :] < width), other=0.0)
    elif CHECK_ROWS:
        tile = tl.load(pointer, mask=start + row[:, None] < limit, other=0.0)
    elif CHECK_COLS:
        tile = tl.load(pointer, mask=col[None, :] < width, other=0.0)
    else:
        tile = tl.load(pointer)
    return tile


@triton.jit
def _part_states(
    k_ptr, v_ptr, slope_ptr, part_ptr, heads, length, parts, part, segment,
    k_b, k_h, v_b, v_h, k_n: tl.constexpr, v_n: tl.constexpr,
    D: tl.constexpr, E: tl.constexpr, BLOCK_D: tl.constexpr, COLS: tl.constexpr, BLOCK_N: tl.constexpr,
    WORK: tl.constexpr,
):  # fmt: skip
    """Σ_j e^{-slope (end - 1 - j)} k_jᵀ v_j over the tokens of each part; parts are whole, and divide a segment."""
    tiles: tl.constexpr = (E + COLS - 1) // COLS
    first_col = tl.program_id(0) % tiles * COLS
    number = tl.program_id(0) // tiles % parts
    plane = (tl.program_id(0) // (tiles * parts)).to(tl.int64)
    batch, head = plane // heads, plane % heads
    k_ptr += batch * k_b + head * k_h
    v_ptr += batch * v_b + head * v_h
    slope2 = tl.load(slope_ptr + head).to(tl.float32) * LOG2_E

    end = (number + 1) * part
    memory = tl.minimum(UNDERFLOW / tl.maximum(slope2, 1e-7), 1e9).to(tl.int32)
    boundary = (number * part // segment + 1) * segment
    skipped = tl.minimum(tl.maximum(boundary - memory - number * part, 0), part) // BLOCK_N * BLOCK_N
    row = tl.arange(0, BLOCK_N)
    acc = tl.zeros((BLOCK_D, COLS), dtype=tl.float32)
    for start in range(number * part + skipped, end, BLOCK_N):
        k = _tile(k_ptr, start, k_n, length, 0, D, BLOCK_N, BLOCK_D, False, D < BLOCK_D)
        v = _tile(v_ptr, start, v_n, length, first_col, E, BLOCK_N, COLS, False, E % COLS != 0)
        fade = tl.exp2(-slope2 * (end - 1 - start - row).to(tl.float32))
        acc = tl.dot(tl.trans(k.to(WORK)), (v * fade[:, None]).to(WORK), acc)

    if end + memory > boundary:  # nobody reads the others
        d, e = tl.arange(0, BLOCK_D), first_col + tl.arange(0, COLS)
        out = part_ptr + (plane * parts + number) * D * E + d[:, None] * E + e[None, :]
        tl.store(out, acc, mask=(d[:, None] < D) & (e[None, :] < E))


@triton.jit
def _states_before(
    state_ptr, slope_ptr, part_ptr, before_ptr, heads, segments, parts, part, segment,
    D: tl.constexpr, E: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The state before each segment, [planes, segments, D, E]; PARTS parts make a segment."""
    plane = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    slope2 = tl.load(slope_ptr + plane % heads).to(tl.float32) * LOG2_E
    memory = tl.minimum(UNDERFLOW / tl.maximum(slope2, 1e-7), 1e9).to(tl.int32)
    inside = at < D * E
    state = tl.load(state_ptr + plane * D * E + at, mask=inside, other=0.0)
    before_ptr += plane * segments * D * E + at
    tl.store(before_ptr, state, mask=inside)

    piece = tl.arange(0, BLOCK_PARTS)
    gap = segment - (piece + 1) * part  # from the end of a part to the end of its segment
    kept = (piece < PARTS) & (gap < memory)
    weight = tl.exp2(-slope2 * tl.maximum(gap, 0).to(tl.float32))
    whole = tl.exp2(-slope2 * segment)
    part_ptr += (plane * parts + piece[:, None]) * D * E + at[None, :]
    for number in range(1, segments):
        states = tl.load(part_ptr, mask=kept[:, None] & inside[None, :], other=0.0)
        state = state * whole + tl.sum(states * weight[:, None], axis=0)
        tl.store(before_ptr + number * D * E, state, mask=inside)
        part_ptr += PARTS * D * E


def _config(block_n, block_e, warps, stages):
    return triton.Config({"BLOCK_N": block_n, "BLOCK_E": block_e}, num_warps=warps, num_stages=stages)


@triton.autotune(
    configs=[_config(64, 64, 4, 2), _config(32, 64, 4, 3), _config(32, 128, 8, 3), _config(64, 64, 4, 3)],
    key=["length", "segments"],
)
@triton.heuristics(
    {
        "EVEN": lambda args: args["length"] % args["BLOCK_N"] == 0,
        "COLS": lambda args: min(args["BLOCK_E"], max(16, triton.next_power_of_2(args["E"]))),
    }
)
@triton.jit
def _outputs(
    q_ptr, k_ptr, v_ptr, slope_ptr, before_ptr, out_ptr, state_ptr, heads, length, segments, segment,
    q_b, q_h, k_b, k_h, v_b, v_h, q_n: tl.constexpr, k_n: tl.constexpr, v_n: tl.constexpr,
    D: tl.constexpr, E: tl.constexpr, BLOCK_D: tl.constexpr, WORK: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, EVEN: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    tiles: tl.constexpr = (E + COLS - 1) // COLS
    first_col = tl.program_id(0) % tiles * COLS
    number = tl.program_id(0) // tiles % segments
    plane = (tl.program_id(0) // (tiles * segments)).to(tl.int64)
    batch, head = plane // heads, plane % heads
    q_ptr += batch * q_b + head * q_h
    k_ptr += batch * k_b + head * k_h
    v_ptr += batch * v_b + head * v_h
    out_ptr += plane * length * E
    slope2 = tl.load(slope_ptr + head).to(tl.float32) * LOG2_E

    d, e = tl.arange(0, BLOCK_D), first_col + tl.arange(0, COLS)
    cell = d[:, None] * E + e[None, :]
    in_state = (d[:, None] < D) & (e[None, :] < E)
    state = tl.load(before_ptr + (plane * segments + number) * D * E + cell, mask=in_state, other=0.0)

    row = tl.arange(0, BLOCK_N)
    distance = row[:, None] - row[None, :]
    fade = tl.where(distance >= 0, tl.exp2(-slope2 * tl.maximum(distance, 0).to(tl.float32)), 0.0)
    reach = tl.exp2(-slope2 * (row + 1).to(tl.float32))
    left = tl.exp2(-slope2 * (BLOCK_N - 1 - row).to(tl.float32))
    whole = tl.exp2(-slope2 * BLOCK_N)
    for start in range(number * segment, tl.minimum((number + 1) * segment, length), BLOCK_N):
        q = _tile(q_ptr, start, q_n, length, 0, D, BLOCK_N, BLOCK_D, not EVEN, D < BLOCK_D).to(WORK)
        k = _tile(k_ptr, start, k_n, length, 0, D, BLOCK_N, BLOCK_D, not EVEN, D < BLOCK_D).to(WORK)
        v = _tile(v_ptr, start, v_n, length, first_col, E, BLOCK_N, COLS, not EVEN, E % COLS != 0).to(WORK)
        scores = tl.dot(q, tl.trans(k)) * fade
        out = tl.dot(q, state.to(WORK)) * reach[:, None]
        out = tl.dot(scores.to(WORK), v, out)
        if not EVEN:  # the last block ends at the last token, not where its tile does
            count = tl.minimum(length - start, BLOCK_N)
            left = tl.exp2(-slope2 * tl.maximum(count - 1 - row, 0).to(tl.float32))
            whole = tl.exp2(-slope2 * count)
        state = tl.dot(tl.trans(k), (v * left[:, None]).to(WORK), state * whole)
        token = start + row
        target = out_ptr + tl.cast(start, tl.int64) * E + row[:, None] * E + e[None, :]
        if EVEN and E % COLS == 0:
            tl.store(target, out.to(out_ptr.dtype.element_ty))
        else:
            tl.store(target, out.to(out_ptr.dtype.element_ty), mask=(token[:, None] < length) & (e[None, :] < E))
    if number == segments - 1:
        tl.store(state_ptr + plane * D * E + cell, state, mask=in_state)


def _rows_contiguous(x):
    return x if x.stride(-1) == 1 else x.contiguous()


def _cut(programs, length):
    """(segments, tokens a segment, parts a segment, tokens a part): two programs an SM, in whole blocks of 64."""
    slots = 2 * torch.cuda.get_device_properties(0).multi_processor_count
    segments = max(1, min(slots // max(1, programs), length // 256))
    segment = triton.cdiv(length, segments)
    parts = max(1, min(16, segment // 256))  # short enough that a head which remembers all does not hold up the rest
    part = max(1, triton.cdiv(segment, parts * 64)) * 64
    return max(1, triton.cdiv(length, part * parts)), part * parts, parts, part


def lightning_attn2(q, k, v, slope, state):
    """q, k [B, H, N, D], v [B, H, N, E], slope [H], state [B, H, D, E] → (o [B, H, N, E], new state)."""
    q, k, v = _rows_contiguous(q), _rows_contiguous(k), _rows_contiguous(v)
    slope, state = slope.contiguous(), state.contiguous()
    batch, heads, length, d = q.shape
    e, planes = v.shape[3], batch * heads
    out = torch.empty((batch, heads, length, e), dtype=q.dtype, device=q.device)
    new_state = torch.empty((batch, heads, d, e), dtype=torch.float32, device=q.device)
    if new_state.numel() == 0:
        return out, new_state
    block_d = max(16, triton.next_power_of_2(d))
    work = tl.bfloat16 if q.dtype in (torch.bfloat16, torch.float16) else tl.float32  # fp16 sums would overflow
    segments, segment, parts, part = _cut(planes * triton.cdiv(e, 64), length)
    before = state
    if segments > 1:
        whole_parts, wide = (segments - 1) * parts, min(128, max(16, triton.next_power_of_2(e)))
        states = torch.empty((planes, whole_parts, d, e), dtype=torch.float32, device=q.device)
        before = torch.empty((planes, segments, d, e), dtype=torch.float32, device=q.device)
        _part_states[(planes * whole_parts * triton.cdiv(e, wide),)](
            k, v, slope, states, heads, length, whole_parts, part, segment,
            k.stride(0), k.stride(1), v.stride(0), v.stride(1), k.stride(2), v.stride(2),
            D=d, E=e, BLOCK_D=block_d, COLS=wide, BLOCK_N=64, WORK=work,
            num_warps=8 if block_d * wide >= 16384 else 4, num_stages=3,
        )  # fmt: skip
        _states_before[(planes, triton.cdiv(d * e, 512))](
            state, slope, states, before, heads, segments, whole_parts, part, segment,
            D=d, E=e, PARTS=parts, BLOCK_PARTS=triton.next_power_of_2(parts), BLOCK=512, num_warps=4,
        )  # fmt: skip
    _outputs[lambda meta: (planes * segments * triton.cdiv(e, meta["BLOCK_E"]),)](
        q, k, v, slope, before, out, new_state, heads, length, segments, segment,
        q.stride(0), q.stride(1), k.stride(0), k.stride(1), v.stride(0), v.stride(1),
        q.stride(2), k.stride(2), v.stride(2),
        D=d, E=e, BLOCK_D=block_d, WORK=work,
    )  # fmt: skip
    return out, new_state
