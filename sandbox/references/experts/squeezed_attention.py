"""Squeezed attention: centroids decide, kept keys are listed, and flash attention runs over the lists in splits.

1. A sweep over the centroids for denominators and one for importances; few queries keep their scores in between.
2. Each program lists the kept keys of its own range of the context with a running prefix sum: no atomics, always the
   same order. Counts stay on the device; the attention of a range loops over as many tiles as its list fills.
3. Ranges are short enough that a GPU holds several waves of them, so heads that keep more do not straggle.
4. A single query needs no matrix unit: every slot of a tile keeps its own running softmax, so the loop has no exchange
   between warps, and slots meet once at the end. The next tile's indices are loaded a step ahead.
5. Blocks that read the same range are neighbours in the grid and meet in L2. Only the ends of lists and new keys are
   masked. Scores are in base 2.
"""

import torch
import triton
import triton.language as tl

NEVER: tl.constexpr = tl.constexpr(-1.0e30)  # finite, so that -inf - -inf never happens; exp2 makes it vanish
BLOCK_C: tl.constexpr = tl.constexpr(64)  # centroids compared at a time
TILES = ((32, 4, 2), (64, 8, 2), (64, 8, 3), (128, 8, 2), (32, 8, 3))  # keys, warps, stages
PROGRAMS = 2112  # sixteen a multiprocessor on a 132-multiprocessor GPU: several waves, so that long heads even out


@triton.jit
def _rows(base, row, stride, keep, D: tl.constexpr, BLOCK_D: tl.constexpr, CHECK: tl.constexpr):
    """Rows of D values as a tile [len(row), BLOCK_D], zero where `keep` is not set; all kept without CHECK."""
    col = tl.arange(0, BLOCK_D)
    pointer = base + row.to(tl.int64)[:, None] * stride + col[None, :]
    if CHECK:
        return tl.load(pointer, mask=keep[:, None] & (col[None, :] < D), other=0.0)
    return tl.load(pointer, mask=col[None, :] < D, other=0.0) if D < BLOCK_D else tl.load(pointer)


@triton.jit
def _products(q, rows):
    """q [queries, D] times rows [n, D] → fp32 [queries, n]."""
    if q.shape[0] == 1:
        return tl.sum(q.to(tl.float32) * rows.to(tl.float32), axis=1)[None, :]
    return tl.dot(q, tl.trans(rows), input_precision="ieee")


@triton.jit
def _cluster_sums(
    q_ptr, cent_ptr, cnt_ptr, scores_ptr, top_ptr, total_ptr, scale2, queries, clusters, block, blocks, span, splits,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, STORED: tl.constexpr,
):  # fmt: skip
    """Largest score and sum of count · 2^(score - largest) of each query over one range of clusters."""
    head = (tl.program_id(0) // (blocks * splits)).to(tl.int64)
    split, index = tl.program_id(0) // blocks % splits, tl.program_id(0) % blocks
    row = tl.arange(0, BLOCK_M)
    inside = (row < block) & (index * block + row < queries)
    query = head * queries + index * block + row
    q = _rows(q_ptr, query, D, inside, D, BLOCK_D, True)
    cent_ptr += head * clusters * D
    top, total = tl.full((BLOCK_M,), NEVER, dtype=tl.float32), tl.zeros((BLOCK_M,), dtype=tl.float32)
    for first in range(split * span, tl.minimum(split * span + span, clusters), BLOCK_C):
        cluster = first + tl.arange(0, BLOCK_C)
        valid = cluster < clusters
        count = tl.load(cnt_ptr + head * clusters + cluster, mask=valid, other=0).to(tl.float32)
        scores = _products(q, _rows(cent_ptr, cluster, D, valid, D, BLOCK_D, True)) * scale2
        scores = tl.where(valid[None, :], scores, NEVER)
        if STORED:
            out = scores_ptr + query[:, None] * clusters + cluster[None, :]
            tl.store(out, scores, mask=inside[:, None] & valid[None, :])
        new_top = tl.maximum(top, tl.max(scores, axis=1))
        total = total * tl.exp2(top - new_top) + tl.sum(tl.exp2(scores - new_top[:, None]) * count[None, :], axis=1)
        top = new_top
    tl.store(top_ptr + query * splits + split, top, mask=inside)
    tl.store(total_ptr + query * splits + split, total, mask=inside)


@triton.jit
def _cluster_keep(
    q_ptr, cent_ptr, scores_ptr, top_ptr, total_ptr, thr_ptr, keep_ptr, scale2, queries, clusters, block, blocks,
    parts, span, splits,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_P: tl.constexpr, STORED: tl.constexpr,
):  # fmt: skip
    """keep [H, blocks, C] int8: whether the mean weight of a key of the cluster is above the threshold."""
    head = (tl.program_id(0) // (blocks * splits)).to(tl.int64)
    split, index = tl.program_id(0) // blocks % splits, tl.program_id(0) % blocks
    row = tl.arange(0, BLOCK_M)
    inside = (row < block) & (index * block + row < queries)
    query = head * queries + index * block + row
    part = tl.arange(0, BLOCK_P)
    known = inside[:, None] & (part[None, :] < parts)
    tops = tl.load(top_ptr + query[:, None] * parts + part[None, :], mask=known, other=NEVER)
    totals = tl.load(total_ptr + query[:, None] * parts + part[None, :], mask=known, other=0.0)
    top = tl.max(tops, axis=1)
    total = tl.sum(totals * tl.exp2(tops - top[:, None]), axis=1)
    shift = tl.where(inside, top + tl.log2(tl.where(inside, total, 1.0)), -NEVER)  # queries outside weigh nothing
    limit = tl.load(thr_ptr).to(tl.float32) * tl.minimum(block, queries - index * block)
    q = _rows(q_ptr, query, D, inside, D, BLOCK_D, True)  # not loaded if scores are stored
    cent_ptr += head * clusters * D
    for first in range(split * span, tl.minimum(split * span + span, clusters), BLOCK_C):
        cluster = first + tl.arange(0, BLOCK_C)
        valid = cluster < clusters
        if STORED:
            stored = inside[:, None] & valid[None, :]
            scores = tl.load(scores_ptr + query[:, None] * clusters + cluster[None, :], mask=stored, other=NEVER)
        else:
            scores = _products(q, _rows(cent_ptr, cluster, D, valid, D, BLOCK_D, True)) * scale2
        weight = tl.sum(tl.exp2(scores - shift[:, None]), axis=0)
        tl.store(keep_ptr + (head * blocks + index) * clusters + cluster, (weight > limit).to(tl.int8), mask=valid)


@triton.jit
def _list_keys(keep_ptr, label_ptr, list_ptr, count_ptr, tokens, clusters, blocks, span, splits, CHUNK: tl.constexpr):
    """The kept keys of one range, in order, from the start of the range's part of the list; and how many."""
    head = (tl.program_id(0) // (blocks * splits)).to(tl.int64)
    split, index = tl.program_id(0) // blocks % splits, tl.program_id(0) % blocks
    plane = head * blocks + index
    list_ptr += plane * tokens + split * span
    count = 0
    end = tl.minimum(split * span + span, tokens)
    for first in range(split * span, end, CHUNK):
        token = first + tl.arange(0, CHUNK)
        label = tl.load(label_ptr + head * tokens + token, mask=token < end, other=0)
        kept = tl.load(keep_ptr + plane * clusters + label, mask=token < end, other=0).to(tl.int32)
        place = count + tl.cumsum(kept, axis=0) - 1
        tl.store(list_ptr + place, token, mask=kept != 0)
        count += tl.sum(kept, axis=0)
    tl.store(count_ptr + plane * splits + split, count)


@triton.jit
def _over_keys(
    acc, top, total, q, k_ptr, v_ptr, list_ptr, first, last, offset, reach, stride_k, stride_v, scale2,
    MASKED: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Online softmax over places first … last - 1 of the list or, if `offset` is not 0, over the new keys from there,
    of which a query sees those up to `reach`. What a query adds up before its first key (top = NEVER) vanishes then."""
    for start in range(first, last, BLOCK_N):
        place = start + tl.arange(0, BLOCK_N)
        valid = place < last
        if MASKED:
            row = tl.load(list_ptr + place, mask=place < tl.where(offset == 0, last, 0), other=0)
            row = tl.where(offset == 0, row, offset + place)
        else:
            row = tl.load(list_ptr + place)
        k = _rows(k_ptr, row, stride_k, valid, D, BLOCK_D, MASKED)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee")
        if MASKED:
            scores = tl.where(valid[None, :] & (place[None, :] <= reach[:, None]), scores, NEVER)
        new_top = tl.maximum(top, tl.max(scores, axis=1) * scale2)
        p = tl.exp2(scores * scale2 - new_top[:, None])
        fade = tl.exp2(top - new_top)
        total = total * fade + tl.sum(p, axis=1)
        v = _rows(v_ptr, row, stride_v, valid, D, BLOCK_D, MASKED)
        acc = tl.dot(p.to(v.dtype), v, acc * fade[:, None], input_precision="ieee")
        top = new_top
    return acc, top, total


@triton.jit
def _one_query(
    q, k_ptr, v_ptr, list_ptr, last, offset, stride_k, stride_v, scale2,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Unnormalised attention of q [1, D] over the first `last` places of the list, or of the keys from `offset` on."""
    slot = tl.arange(0, BLOCK_N)
    acc = tl.zeros((BLOCK_N, BLOCK_D), dtype=tl.float32)
    top, total = tl.full((BLOCK_N,), NEVER, dtype=tl.float32), tl.zeros((BLOCK_N,), dtype=tl.float32)
    listed = tl.where(offset == 0, last, 0)
    row = tl.load(list_ptr + slot, mask=slot < listed, other=0)
    for start in range(0, last, BLOCK_N):
        valid = start + slot < last
        here = tl.where(offset == 0, row, offset + start + slot)
        k = _rows(k_ptr, here, stride_k, valid, D, BLOCK_D, True)
        v = _rows(v_ptr, here, stride_v, valid, D, BLOCK_D, True)
        row = tl.load(list_ptr + start + BLOCK_N + slot, mask=start + BLOCK_N + slot < listed, other=0)
        scores = tl.where(valid, tl.sum(q.to(tl.float32) * k.to(tl.float32), axis=1) * scale2, NEVER)
        new_top = tl.maximum(top, scores)
        p, fade = tl.exp2(scores - new_top), tl.exp2(top - new_top)
        total = total * fade + p
        acc = acc * fade[:, None] + p[:, None] * v.to(tl.float32)
        top = new_top
    largest = tl.max(top, axis=0, keep_dims=True)
    share = tl.exp2(top - largest)
    return tl.sum(acc * share[:, None], 0, keep_dims=True), largest, tl.sum(total * share, 0, keep_dims=True)


@triton.autotune(
    configs=[triton.Config({"BLOCK_N": n}, num_warps=warps, num_stages=stages) for n, warps, stages in TILES],
    key=["queries", "tokens", "new", "D"],
)
@triton.jit
def _attend(
    q_ptr, k_ptr, v_ptr, list_ptr, count_ptr, acc_ptr, top_ptr, total_ptr, scale2, queries, tokens, new, block, blocks,
    span, splits, k_h, k_t, v_h, v_t,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Unnormalised attention of a block of queries over one range of the context, or (the last split) the new keys."""
    head = (tl.program_id(0) // (blocks * (splits + 1))).to(tl.int64)
    split, index = tl.program_id(0) // blocks % (splits + 1), tl.program_id(0) % blocks
    plane = head * blocks + index
    row = tl.arange(0, BLOCK_M)
    inside = (row < block) & (index * block + row < queries)
    query = head * queries + index * block + row
    q = _rows(q_ptr, query, D, inside, D, BLOCK_D, True)
    k_ptr, v_ptr = k_ptr + head * k_h, v_ptr + head * v_h
    list_ptr += plane * tokens + split * span
    listed = split < splits
    count = tl.load(count_ptr + plane * splits + split, mask=listed, other=0)
    last = tl.where(listed, count, tl.minimum(new, (index + 1) * block + new - queries))
    offset = tl.where(listed, 0, tokens)
    reach = tl.where(listed, 2147483647, index * block + row + new - queries)
    if BLOCK_M == 1:
        acc, top, total = _one_query(q, k_ptr, v_ptr, list_ptr, last, offset, k_t, v_t, scale2, D, BLOCK_D, BLOCK_N)
    else:
        acc = tl.zeros((BLOCK_M, BLOCK_D), dtype=tl.float32)
        top, total = tl.full((BLOCK_M,), NEVER, dtype=tl.float32), tl.zeros((BLOCK_M,), dtype=tl.float32)
        full = tl.where(offset == 0, last // BLOCK_N * BLOCK_N, 0)
        for masked in tl.static_range(2):
            acc, top, total = _over_keys(
                acc, top, total, q, k_ptr, v_ptr, list_ptr, full * masked, full if masked == 0 else last, offset, reach,
                k_t, v_t, scale2, masked == 1, D, BLOCK_D, BLOCK_N,
            )  # fmt: skip
    part, col = query * (splits + 1) + split, tl.arange(0, BLOCK_D)
    tl.store(acc_ptr + part[:, None] * D + col[None, :], acc, mask=inside[:, None] & (col[None, :] < D))
    tl.store(top_ptr + part, top, mask=inside)
    tl.store(total_ptr + part, total, mask=inside)


@triton.jit
def _combine(
    acc_ptr, top_ptr, total_ptr, out_ptr, parts, D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """The output of one query from its parts."""
    query = tl.program_id(0).to(tl.int64)
    col, part = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_P)
    tops = tl.load(top_ptr + query * parts + part, mask=part < parts, other=NEVER)
    share = tl.exp2(tops - tl.max(tops, axis=0))
    total = tl.sum(share * tl.load(total_ptr + query * parts + part, mask=part < parts, other=0.0), axis=0)
    inside = (part[:, None] < parts) & (col[None, :] < D)
    acc = tl.load(acc_ptr + (query * parts + part)[:, None] * D + col[None, :], mask=inside, other=0.0)
    acc = tl.sum(acc * share[:, None], axis=0) / total
    tl.store(out_ptr + query * D + col, acc.to(out_ptr.dtype.element_ty), mask=col < D)


def _ranges(length, step, wanted):
    """Length of each range, a multiple of `step`, and how many there are: about `wanted`, at most 128."""
    span = triton.cdiv(triton.cdiv(length, max(1, min(wanted, 128))), step) * step
    return span, triton.cdiv(length, span)


def _empty(like, *size, dtype=torch.float32):
    return torch.empty(size, dtype=dtype, device=like.device)


def _kept_clusters(q, cent, cnt, thr, scale2, block, blocks, shape):
    """keep [H, blocks, C] int8."""
    (heads, queries, _), clusters, stored = q.shape, cent.shape[1], block <= 16
    span, splits = _ranges(clusters, 64, PROGRAMS // (heads * blocks))
    scores = _empty(q, heads, queries, clusters) if stored else _empty(q, 1)
    top, total = _empty(q, heads, queries, splits), _empty(q, heads, queries, splits)
    keep = _empty(q, heads, blocks, clusters, dtype=torch.int8)
    grid, warps = (heads * blocks * splits,), 4 if shape["BLOCK_M"] < 128 else 8
    _cluster_sums[grid](
        q, cent, cnt, scores, top, total, scale2, queries, clusters, block, blocks, span, splits,
        STORED=stored, num_warps=warps, **shape,
    )  # fmt: skip
    _cluster_keep[grid](
        q, cent, scores, top, total, thr, keep, scale2, queries, clusters, block, blocks, splits, span, splits,
        BLOCK_P=triton.next_power_of_2(splits), STORED=stored, num_warps=warps, **shape,
    )  # fmt: skip
    return keep


def squeezed_attention(q, k, v, cent, label, cnt, thr, block=128):
    """q [H, M, d], k and v [H, T + U, d], cent [H, C, d], label [H, T], cnt [H, C], thr [1] → [H, M, d], dtype of q."""
    q, cent, label, cnt = q.contiguous(), cent.contiguous(), label.contiguous(), cnt.contiguous()
    k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (k, v))
    (heads, queries, d), tokens = q.shape, label.shape[1]
    out = torch.empty_like(q)
    if q.numel() == 0:
        return out
    block = min(block, queries)
    blocks = triton.cdiv(queries, block)
    rows = 1 if block == 1 else max(16, triton.next_power_of_2(block))
    shape = {"D": d, "BLOCK_D": max(16, triton.next_power_of_2(d)), "BLOCK_M": rows}
    scale2 = d**-0.5 * 1.4426950408889634
    keep = _kept_clusters(q, cent, cnt, thr, scale2, block, blocks, shape)
    # a part of many queries is large, so there are fewer ranges, and longer ones, than for a single query
    span, splits = _ranges(tokens, 512, (PROGRAMS if rows <= 16 else PROGRAMS // 2) // (heads * blocks))
    chunk = min(4096, triton.next_power_of_2(span))
    places, count = (_empty(q, heads, blocks, n, dtype=torch.int32) for n in (tokens, splits))
    _list_keys[(heads * blocks * splits,)](
        keep, label, places, count, tokens, cent.shape[1], blocks, span, splits, CHUNK=chunk, num_warps=chunk // 512
    )
    parts = splits + 1
    acc = _empty(q, heads, queries, parts, d)
    top, total = _empty(q, heads, queries, parts), _empty(q, heads, queries, parts)
    _attend[(heads * blocks * parts,)](
        q, k, v, places, count, acc, top, total, scale2, queries, tokens, k.shape[1] - tokens, block, blocks,
        span, splits, k.stride(0), k.stride(1), v.stride(0), v.stride(1), **shape,
    )  # fmt: skip
    _combine[(heads * queries,)](
        acc, top, total, out, parts, D=d, BLOCK_D=shape["BLOCK_D"], BLOCK_P=triton.next_power_of_2(parts),
        num_warps=4 if parts > 16 else 1,
    )  # fmt: skip
    return out
