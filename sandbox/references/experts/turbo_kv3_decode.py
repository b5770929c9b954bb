"""Decoding over a 3-bit cache: rotate the query once, split the tokens over programs, combine and rotate back once.

1. One query head a group: a thread has a word of each plane. Four planes are interleaved into 4-bit fields, 32 elements
   at a time; a level is a gather of eight numbers in shared memory; the sketch's sign, the fourth bit, flips a number.
   Queries, sums and a softmax a thread stay in registers: two shuffles a token. Words are loaded a tile ahead.
2. Several query heads a group: a tile of levels is formed once for all of them and multiplied on the tensor cores, in
   fp16; queries are divided by their largest element before, and norms of values by a tile's largest.
3. Everything constant (softmax scale, log2(e), 1/sqrt(d), the sketch's factor) is folded into the rotated queries.
"""

import torch
import triton
import triton.language as tl

PROGRAMS = 1056  # eight a multiprocessor on a 132-multiprocessor GPU: enough to hide the latency of narrow loads
GROUP_TOKENS, GROUP_WARPS, THREADS = 128, 8, 128  # LLVM spills for AMD's warps of 64 where half of them have no word


@triton.jit
def _rotate_query(
    q_ptr, rotation_ptr, sketch_ptr, rotated_ptr, sketched_ptr, heads, rep, rotated_scale, sketched_scale,
    D: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """rotated = q R · rotated_scale and sketched = q R Sᵀ · sketched_scale, [B, Hq, D] fp32; one program a head."""
    plane = tl.program_id(0).to(tl.int64)
    rotation_ptr += plane % heads // rep * D * D
    col = tl.arange(0, BLOCK_D)
    rotated = tl.zeros((BLOCK_D,), dtype=tl.float32)
    for first in range(0, D, 32):
        row = first + tl.arange(0, 32)
        q = tl.load(q_ptr + plane * D + row).to(tl.float32)
        r = tl.load(rotation_ptr + row[:, None] * D + col[None, :], mask=col[None, :] < D, other=0.0)
        rotated += tl.sum(q[:, None] * r, axis=0)
    tl.store(rotated_ptr + plane * D + col, rotated * rotated_scale, mask=col < D)
    for first in range(0, D, 32):
        row = first + tl.arange(0, 32)
        s = tl.load(sketch_ptr + row[:, None] * D + col[None, :], mask=col[None, :] < D, other=0.0)
        tl.store(sketched_ptr + plane * D + row, tl.sum(rotated[None, :] * s, axis=1) * sketched_scale)


@triton.jit
def _merge(a, b, WIDTH: tl.constexpr, MASK: tl.constexpr):
    """Fields of WIDTH bits → of 2 WIDTH bits, `a` below `b`: those at even places, those at odd ones."""
    return (a & MASK) | ((b << WIDTH) & (MASK << WIDTH)), ((a >> WIDTH) & MASK) | (b & (MASK << WIDTH))


@triton.jit
def _eight(word):
    return tl.join(
        tl.join(tl.join(word, word >> 16), tl.join(word >> 4, word >> 20)),
        tl.join(tl.join(word >> 8, word >> 24), tl.join(word >> 12, word >> 28)),
    )


@triton.jit
def _four_bits(p0, p1, p2, p3):
    """Words [n] of four planes → [n, 32], an element's bits lowest and others above. Bits 4, 3, 2, 1, 0 of a column are
    bits 4, 2, 3, 0, 1 of the place in the word."""
    even, odd = _merge(p0.to(tl.uint32, bitcast=True), p1.to(tl.uint32, bitcast=True), 1, 0x55555555)
    high_even, high_odd = _merge(p2.to(tl.uint32, bitcast=True), p3.to(tl.uint32, bitcast=True), 1, 0x55555555)
    w0, w2 = _merge(even, high_even, 2, 0x33333333)
    w1, w3 = _merge(odd, high_odd, 2, 0x33333333)
    return tl.reshape(tl.join(tl.join(_eight(w0), _eight(w1)), tl.join(_eight(w2), _eight(w3))), (p0.shape[0], 32))


@triton.jit
def _look_up(lut, fields):
    index = (tl.reshape(fields, (fields.shape[0] * 32,)) & 7).to(tl.int32)
    return tl.reshape(tl.gather(lut, index, 0), (fields.shape[0], 32))


@triton.jit
def _planes(code_ptr, token, word, tokens, WORDS: tl.constexpr):
    """One word of each plane of a code."""
    inside = (token < tokens) & (word < WORDS)
    at, plane = token * WORDS + word, tokens * WORDS
    p0 = tl.load(code_ptr + at, mask=inside, other=0)
    p1 = tl.load(code_ptr + plane + at, mask=inside, other=0)
    return p0, p1, tl.load(code_ptr + plane * 2 + at, mask=inside, other=0)


@triton.jit
def _to_half(x):
    """Columns divided by their largest element, as fp16, and those."""
    largest = tl.maximum(tl.max(tl.abs(x), axis=0), 1e-30)
    return (x / largest[None, :]).to(tl.float16), largest


@triton.jit
def _decode_split(
    rotated_ptr, sketched_ptr, k_code_ptr, k_sign_ptr, k_norm_ptr, k_residual_ptr, v_code_ptr, v_norm_ptr,
    lut_k_ptr, lut_v_ptr, acc_ptr, top_ptr, total_ptr, rep, tokens, split_tokens, splits,
    D: tl.constexpr, REP: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_T: tl.constexpr,
):  # fmt: skip
    """Unnormalised attention of all query heads of one group over one range of tokens."""
    group = (tl.program_id(0) // splits).to(tl.int64)
    split = tl.program_id(0) % splits
    WORDS: tl.constexpr = D // 32
    k_code_ptr, v_code_ptr = k_code_ptr + group * 3 * tokens * WORDS, v_code_ptr + group * 3 * tokens * WORDS
    k_sign_ptr += group * tokens * WORDS
    k_norm_ptr, k_residual_ptr = k_norm_ptr + group * tokens, k_residual_ptr + group * tokens
    v_norm_ptr += group * tokens
    at = tl.arange(0, BLOCK_T * BLOCK_W)
    slot, word = at // BLOCK_W, at % BLOCK_W
    head = tl.arange(0, REP)
    c = tl.arange(0, BLOCK_W * 32)
    col = (c & -32) | (c & 16) | (c >> 3 & 1) << 2 | (c >> 2 & 1) << 3 | (c >> 1 & 1) | (c & 1) << 1
    query = (group * rep + head)[None, :] * D + col[:, None]
    inside = (head[None, :] < rep) & (col[:, None] < D)
    rotated, rotated_scale = _to_half(tl.load(rotated_ptr + query, mask=inside, other=0.0))
    sketched, sketched_scale = _to_half(tl.load(sketched_ptr + query, mask=inside, other=0.0))
    lut_k = tl.load(lut_k_ptr + tl.arange(0, 8)).to(tl.float16)
    lut_v = tl.load(lut_v_ptr + tl.arange(0, 8)).to(tl.float16)

    acc = tl.zeros((BLOCK_W * 32, REP), dtype=tl.float32)
    top = tl.full((REP,), -3.0e38, dtype=tl.float32)
    total = tl.zeros((REP,), dtype=tl.float32)
    begin = split * split_tokens
    for start in range(begin, tl.minimum(begin + split_tokens, tokens), BLOCK_T):
        token = start + tl.arange(0, BLOCK_T)
        valid = token < tokens
        k_norm = tl.load(k_norm_ptr + token, mask=valid, other=0.0).to(tl.float32)
        residual = tl.load(k_residual_ptr + token, mask=valid, other=0.0).to(tl.float32)
        v_norm = tl.load(v_norm_ptr + token, mask=valid, other=0.0).to(tl.float32)
        k0, k1, k2 = _planes(k_code_ptr, start + slot, word, tokens, WORDS)
        v0, v1, v2 = _planes(v_code_ptr, start + slot, word, tokens, WORDS)
        signs_inside = (start + slot < tokens) & (word < WORDS)
        signs = tl.load(k_sign_ptr + (start + slot) * WORDS + word, mask=signs_inside, other=0)
        fields = _four_bits(k0, k1, k2, signs)
        key = tl.reshape(_look_up(lut_k, fields), (BLOCK_T, BLOCK_W * 32))
        positive = tl.reshape(tl.where((fields & 8) != 0, 1.0, -1.0).to(tl.float16), (BLOCK_T, BLOCK_W * 32))
        scores = tl.dot(key, rotated) * (rotated_scale[None, :] * k_norm[:, None])
        scores += tl.dot(positive, sketched) * (sketched_scale[None, :] * residual[:, None])
        scores = tl.where(valid[:, None], scores, -float("inf"))
        new_top = tl.maximum(top, tl.max(scores, axis=0))
        p = tl.exp2(scores - new_top[None, :])
        fade = tl.exp2(top - new_top)
        total = total * fade + tl.sum(p, axis=0)
        value = tl.reshape(_look_up(lut_v, _four_bits(v0, v1, v2, v2)), (BLOCK_T, BLOCK_W * 32))
        largest = tl.maximum(tl.max(v_norm, axis=0), 1e-30)
        weight = (p * (v_norm / largest)[:, None]).to(tl.float16)
        acc = acc * fade[None, :] + tl.dot(tl.trans(value), weight) * largest
        top = new_top

    part = (group * rep + head) * splits + split
    tl.store(acc_ptr + part[None, :] * D + col[:, None], acc, mask=inside)
    tl.store(top_ptr + part, top, mask=head < rep)
    tl.store(total_ptr + part, total, mask=head < rep)


@triton.jit
def _cached(
    k_code_ptr, k_sign_ptr, k_norm_ptr, k_residual_ptr, v_code_ptr, v_norm_ptr, token, word, tokens,
    WORDS: tl.constexpr,
):  # fmt: skip
    """Words (three of a key's code, its signs, three of a value's code) and norms of one token a thread."""
    inside = (token < tokens) & (word < WORDS)
    k0, k1, k2 = _planes(k_code_ptr, token, word, tokens, WORDS)
    v0, v1, v2 = _planes(v_code_ptr, token, word, tokens, WORDS)
    signs = tl.load(k_sign_ptr + token * WORDS + word, mask=inside, other=0)
    k_norm = tl.load(k_norm_ptr + token, mask=inside, other=0.0)
    residual = tl.load(k_residual_ptr + token, mask=inside, other=0.0)
    return k0, k1, k2, signs, v0, v1, v2, k_norm, residual, tl.load(v_norm_ptr + token, mask=inside, other=0.0)


@triton.jit
def _decode_split_alone(
    rotated_ptr, sketched_ptr, k_code_ptr, k_sign_ptr, k_norm_ptr, k_residual_ptr, v_code_ptr, v_norm_ptr,
    lut_k_ptr, lut_v_ptr, acc_ptr, top_ptr, total_ptr, rep, tokens, split_tokens, splits,
    D: tl.constexpr, REP: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_T: tl.constexpr,
):  # fmt: skip
    """The same for one query head. A thread has a word of one token and its own softmax of the tokens it sees."""
    group = (tl.program_id(0) // splits).to(tl.int64)
    split = tl.program_id(0) % splits
    WORDS: tl.constexpr = D // 32
    k_code_ptr, v_code_ptr = k_code_ptr + group * 3 * tokens * WORDS, v_code_ptr + group * 3 * tokens * WORDS
    k_sign_ptr += group * tokens * WORDS
    k_norm_ptr, k_residual_ptr = k_norm_ptr + group * tokens, k_residual_ptr + group * tokens
    v_norm_ptr += group * tokens
    thread = tl.arange(0, BLOCK_T * BLOCK_W)
    word, slot = thread % BLOCK_W, thread // BLOCK_W
    c = tl.arange(0, 32)
    place = (c & 16) | (c >> 3 & 1) << 2 | (c >> 2 & 1) << 3 | (c >> 1 & 1) | (c & 1) << 1
    query = group * D + word[:, None] * 32 + place[None, :]
    rotated = tl.load(rotated_ptr + query, mask=word[:, None] < WORDS, other=0.0)
    sketched = tl.load(sketched_ptr + query, mask=word[:, None] < WORDS, other=0.0).to(tl.uint32, bitcast=True)
    lut_k, lut_v = tl.load(lut_k_ptr + tl.arange(0, 8)), tl.load(lut_v_ptr + tl.arange(0, 8))

    acc = tl.zeros((BLOCK_T * BLOCK_W, 32), dtype=tl.float32)
    top = tl.full((BLOCK_T * BLOCK_W,), -3.0e38, dtype=tl.float32)
    total = tl.zeros((BLOCK_T * BLOCK_W,), dtype=tl.float32)
    begin = split * split_tokens
    k0, k1, k2, signs, v0, v1, v2, k_norm, residual, v_norm = _cached(
        k_code_ptr, k_sign_ptr, k_norm_ptr, k_residual_ptr, v_code_ptr, v_norm_ptr, begin + slot, word, tokens, WORDS
    )
    for start in range(begin, tl.minimum(begin + split_tokens, tokens), BLOCK_T):
        n0, n1, n2, next_signs, m0, m1, m2, next_k_norm, next_residual, next_v_norm = _cached(
            k_code_ptr, k_sign_ptr, k_norm_ptr, k_residual_ptr, v_code_ptr, v_norm_ptr, start + BLOCK_T + slot, word,
            tokens, WORDS,
        )  # fmt: skip
        fields = _four_bits(k0, k1, k2, ~signs)
        flipped = (sketched ^ ((fields << 28) & 0x80000000)).to(tl.float32, bitcast=True)
        part = tl.sum(rotated * _look_up(lut_k, fields), axis=1) * k_norm.to(tl.float32)
        part += tl.sum(flipped, axis=1) * residual.to(tl.float32)
        scores = tl.sum(tl.reshape(part, (BLOCK_T, BLOCK_W)), axis=1, keep_dims=True)
        scores = tl.reshape(tl.broadcast_to(scores, (BLOCK_T, BLOCK_W)), (BLOCK_T * BLOCK_W,))
        scores = tl.where(start + slot < tokens, scores, -float("inf"))
        new_top = tl.maximum(top, scores)
        p = tl.exp2(scores - new_top)
        fade = tl.exp2(top - new_top)
        total = total * fade + p
        value = _look_up(lut_v, _four_bits(v0, v1, v2, v2))
        p *= v_norm.to(tl.float32)
        acc = acc * tl.reshape(fade, (BLOCK_T * BLOCK_W, 1)) + tl.reshape(p, (BLOCK_T * BLOCK_W, 1)) * value
        top = new_top
        k0, k1, k2, signs, k_norm, residual = n0, n1, n2, next_signs, next_k_norm, next_residual
        v0, v1, v2, v_norm = m0, m1, m2, next_v_norm

    whole = tl.max(top, axis=0)
    share = tl.exp2(top - whole)
    acc = tl.reshape(acc * tl.reshape(share, (BLOCK_T * BLOCK_W, 1)), (BLOCK_T, BLOCK_W * 32))
    part = group * splits + split
    d = tl.arange(0, BLOCK_W)[:, None] * 32 + place[None, :]
    tl.store(acc_ptr + part * D + d, tl.reshape(tl.sum(acc, axis=0), (BLOCK_W, 32)), mask=d < D)
    tl.store(top_ptr + part, whole)
    tl.store(total_ptr + part, tl.sum(total * share, axis=0) / BLOCK_W)


@triton.jit
def _combine(
    acc_ptr, top_ptr, total_ptr, rotation_ptr, out_ptr, heads, rep, splits, scale,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """Weighted sum of the splits of one query head, then the rotation back."""
    plane = tl.program_id(0).to(tl.int64)
    rotation_ptr += plane % heads // rep * D * D
    col = tl.arange(0, BLOCK_D)
    mixed = tl.zeros((BLOCK_D,), dtype=tl.float32)
    top, total = -3.0e38, 0.0
    for first in range(0, splits, BLOCK_P):
        split = first + tl.arange(0, BLOCK_P)
        part = plane * splits + split
        part_top = tl.load(top_ptr + part, mask=split < splits, other=-float("inf"))
        new_top = tl.maximum(top, tl.max(part_top, axis=0))
        weight = tl.exp2(part_top - new_top)
        fade = tl.exp2(top - new_top)
        inside = (split[:, None] < splits) & (col[None, :] < D)
        acc = tl.load(acc_ptr + part[:, None] * D + col[None, :], mask=inside, other=0.0)
        mixed = mixed * fade + tl.sum(weight[:, None] * acc, axis=0)
        part_total = tl.load(total_ptr + part, mask=split < splits, other=0.0)
        total = total * fade + tl.sum(weight * part_total, axis=0)
        top = new_top
    mixed = mixed / total * scale
    for first in range(0, D, 32):
        row = first + tl.arange(0, 32)
        r = tl.load(rotation_ptr + row[:, None] * D + col[None, :], mask=col[None, :] < D, other=0.0)
        tl.store(out_ptr + plane * D + row, tl.sum(r * mixed[None, :], axis=1).to(out_ptr.dtype.element_ty))


def _split(groups, tokens, block_t):
    """(tokens a split, splits): enough programs to fill the GPU, whole tiles, no empty split."""
    wanted = max(1, min(triton.cdiv(tokens, block_t), triton.cdiv(PROGRAMS, groups)))
    split_tokens = triton.cdiv(triton.cdiv(tokens, wanted), block_t) * block_t
    return split_tokens, triton.cdiv(tokens, split_tokens)


def turbo_kv3_decode(
    q, k_codes, k_signs, k_norm, k_residual, v_codes, v_norm, rotation_k, rotation_v, sketch, lut_k, lut_v
):
    """One decoding step; shapes as in the task's reference, d a multiple of 32 → [B, Hq, d] in the dtype of q."""
    cache = (q, k_codes, k_signs, k_norm, k_residual, v_codes, v_norm)
    q, k_codes, k_signs, k_norm, k_residual, v_codes, v_norm = (x.contiguous() for x in cache)
    rotation_k, rotation_v, sketch = (x.contiguous() for x in (rotation_k, rotation_v, sketch))
    batch, heads, d = q.shape
    kv_heads, tokens = k_norm.shape[1:]
    rep, planes, block_d = heads // kv_heads, batch * heads, triton.next_power_of_2(d)
    warp = torch.cuda.get_device_properties(q.device).warp_size
    rep_block, block_t, warps = 1, max(16, 32 * THREADS // block_d), THREADS // warp  # 32 elements a thread: no spills
    if rep > 1:
        rep_block, block_t, warps = max(8, triton.next_power_of_2(rep)), GROUP_TOKENS, GROUP_WARPS
    split_tokens, splits = _split(batch * kv_heads, tokens, block_t)
    rotated, sketched = (torch.empty((batch, heads, d), dtype=torch.float32, device=q.device) for _ in range(2))
    acc = torch.empty((planes, splits, d), dtype=torch.float32, device=q.device)
    top, total = (torch.empty((planes, splits), dtype=torch.float32, device=q.device) for _ in range(2))
    out, scale2 = torch.empty_like(q), d**-0.5 * 1.4426950408889634  # scores in base 2
    _rotate_query[(planes,)](
        q, rotation_k, sketch, rotated, sketched, heads, rep, scale2 * d**-0.5, scale2 * 1.2533141373155003 / d,
        D=d, BLOCK_D=block_d, num_warps=4,
    )  # fmt: skip
    decode = _decode_split_alone if rep == 1 else _decode_split
    decode[(batch * kv_heads * splits,)](
        rotated, sketched, k_codes, k_signs, k_norm, k_residual, v_codes, v_norm, lut_k, lut_v, acc, top, total,
        rep, tokens, split_tokens, splits,
        D=d, REP=rep_block, BLOCK_W=block_d // 32, BLOCK_T=block_t, num_warps=warps,
    )  # fmt: skip
    _combine[(planes,)](
        acc, top, total, rotation_v, out, heads, rep, splits, d**-0.5,
        D=d, BLOCK_D=block_d, BLOCK_P=8, num_warps=4,
    )  # fmt: skip
    return out
