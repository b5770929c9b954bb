"""Row norms of W + s · B A without the product: sum(W²) + 2 s sum(B · (W Aᵀ)) + s² sum(B · (B G)), G = A Aᵀ.

1. W, by far the largest operand, is read once: a tile in registers is an operand of the matrix product and also gives
   its row sums of squares. With the tile in shared memory for
   both, results on sm_90 (Triton 3.6) differed from run to run and the sandbox refused them; that its rows are
   overwritten before the sums have read them is a guess from which rows were wrong.
   Nothing of size [O, I] or [O, r] is written.
2. Up to rank 384 one program holds all columns of W Aᵀ for 128 rows in registers (three tiles of 128): two thirds of
   the traffic between cache and shared memory of three programs that share no W.
3. The Gram term comes last, when those registers are free, and is a few more steps of the same program.
4. What a program leaves is one number a row, so the sums over I are split freely to fill whole waves.
5. G is symmetric: only tiles on and below its diagonal are computed and used, those below it counted twice.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _dora_gram(
    a_ptr, part_ptr, rank, length, SPLITS: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_I: tl.constexpr
):  # fmt: skip
    """Tiles of G on and below the diagonal; those below count twice, in place of those above, which stay unset."""
    first = tl.program_id(0) * BLOCK_R
    second = tl.program_id(1) * BLOCK_R
    if second <= first:
        i, j = first + tl.arange(0, BLOCK_R), second + tl.arange(0, BLOCK_R)
        gram = tl.zeros((BLOCK_R, BLOCK_R), dtype=tl.float32)
        steps = tl.cdiv(tl.cdiv(length, BLOCK_I), SPLITS)
        start = tl.program_id(2) * steps * BLOCK_I
        for at in range(start, min(start + steps * BLOCK_I, length), BLOCK_I):
            col = at + tl.arange(0, BLOCK_I)
            inside = (col < length)[None, :]
            x = tl.load(a_ptr + i[:, None] * length + col[None, :], mask=(i < rank)[:, None] & inside, other=0.0)
            y = tl.load(a_ptr + j[:, None] * length + col[None, :], mask=(j < rank)[:, None] & inside, other=0.0)
            gram = tl.dot(x, tl.trans(y), gram)
        gram *= tl.where(second < first, 2.0, 1.0)
        at_tile = tl.program_id(2) * rank * rank + i[:, None] * rank + j[None, :]
        tl.store(part_ptr + at_tile, gram, mask=(i < rank)[:, None] & (j < rank)[None, :])


@triton.jit
def _dora_sum(part_ptr, out_ptr, size, parts, width, TILE: tl.constexpr, ROOT: tl.constexpr, BLOCK: tl.constexpr):
    """out[i] = the sum over p of part[p, i], or its root. Rows have `width`; tiles above the diagonal are unset."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_set = (at < size) & (at % width // TILE <= at // width // TILE)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for part in range(parts):
        total += tl.load(part_ptr + part * size + at, mask=is_set, other=0.0)
    tl.store(out_ptr + at, tl.sqrt(tl.maximum(total, 0.0)) if ROOT else total, mask=at < size)


@triton.jit
def _dora_a_dot(w, a_ptr, first, col, rank, length, acc, BLOCK_R: tl.constexpr):
    """acc + w Aᵀ for the tile of A from row `first`; past the end it repeats the last row, which meets zeros of B."""
    j = tl.minimum(first + tl.arange(0, BLOCK_R), rank - 1)
    a = tl.load(a_ptr + j[:, None] * length + col[None, :], mask=(col < length)[None, :], other=0.0)
    return tl.dot(w, tl.trans(a), acc)


@triton.jit
def _dora_b_sum(b_ptr, row, first, rows, rank, acc, BLOCK_R: tl.constexpr):
    """Row sums of B · acc over the columns from `first`."""
    j = first + tl.arange(0, BLOCK_R)
    inside = (row < rows)[:, None] & (j < rank)[None, :]
    return tl.sum(acc * tl.load(b_ptr + row[:, None] * rank + j[None, :], mask=inside, other=0.0).to(tl.float32), 1)


@triton.jit
def _dora_gram_sum(
    b_ptr, gram_ptr, row, first, split, rows, rank, SPLITS: tl.constexpr, PARTS: tl.constexpr,
    BLOCK_O: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_K: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Row sums of B · (B G) over the columns from `first`, this split's share: rows of G up to the end of its tile."""
    j = first + tl.arange(0, BLOCK_R)
    acc = tl.zeros((BLOCK_O, BLOCK_R), dtype=tl.float32)
    for at in tl.range(split * BLOCK_K, min(first + BLOCK_R, rank), SPLITS * BLOCK_K, num_stages=STAGES):
        k = at + tl.arange(0, BLOCK_K)
        in_b = (row < rows)[:, None] & (k < rank)[None, :]
        b = tl.load(b_ptr + row[:, None] * rank + k[None, :], mask=in_b, other=0.0)
        in_gram = (j < rank)[:, None] & (k < rank)[None, :]
        tile = gram_ptr + j[:, None] * rank + k[None, :]
        g = tl.load(tile, mask=in_gram, other=0.0)
        for part in tl.static_range(1, PARTS):
            g += tl.load(tile + part * rank * rank, mask=in_gram, other=0.0)
        acc = tl.dot(b.to(tl.float32), tl.trans(g), acc)
    return _dora_b_sum(b_ptr, row, first, rows, rank, acc, BLOCK_R)


def _fitting(configs, arguments, **_):
    """Three tiles of 128 columns need the registers of eight warps; a single narrow one is done by four."""
    return [config for config in configs if config.num_warps == (8 if arguments["rank"] > 64 else 4)]


@triton.autotune(
    configs=[
        triton.Config({"GRAM_STAGES": 1}, num_warps=8, num_stages=2),
        triton.Config({"GRAM_STAGES": 3}, num_warps=8, num_stages=3),
        *[triton.Config({"GRAM_STAGES": 1}, num_warps=4, num_stages=stages) for stages in (2, 3, 4, 5)],
    ],
    key=["rows", "length", "rank"],
    prune_configs_by={"early_config_prune": _fitting},
)
@triton.jit
def _dora_rows(
    w_ptr, a_ptr, b_ptr, gram_ptr, out_ptr, s, rows, length, rank, slices,
    SPLITS: tl.constexpr, PARTS: tl.constexpr, TILES: tl.constexpr, ROOT: tl.constexpr,
    BLOCK_O: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_I: tl.constexpr, BLOCK_K: tl.constexpr,
    GRAM_STAGES: tl.constexpr,
):  # fmt: skip
    """One part (a slice of the columns of B, a share of the sums) of the squared norms of BLOCK_O rows."""
    part = tl.program_id(0) % (slices * SPLITS)  # neighbours share rows of W
    split = part // slices
    row = (tl.program_id(0) // (slices * SPLITS)).to(tl.int64) * BLOCK_O + tl.arange(0, BLOCK_O)
    j0 = part % slices * (TILES * BLOCK_R)
    j1, j2 = j0 + BLOCK_R, j0 + 2 * BLOCK_R

    acc0 = tl.zeros((BLOCK_O, BLOCK_R), dtype=tl.float32)
    acc1 = tl.zeros((BLOCK_O, BLOCK_R), dtype=tl.float32)
    acc2 = tl.zeros((BLOCK_O, BLOCK_R), dtype=tl.float32)
    squares = tl.zeros((BLOCK_O,), dtype=tl.float32)
    steps = tl.cdiv(tl.cdiv(length, BLOCK_I), SPLITS)
    start = split * steps * BLOCK_I
    w_ptr += tl.minimum(row, rows - 1)[:, None] * length  # rows past the end are not stored
    for at in range(start, min(start + steps * BLOCK_I, length), BLOCK_I):
        col = at + tl.arange(0, BLOCK_I)
        w = tl.load(w_ptr + col[None, :], mask=(col < length)[None, :], other=0.0)
        w = tl.where((col < length)[None, :], w, 0.0)  # changes nothing but where it lies, see 1
        acc0 = _dora_a_dot(w, a_ptr, j0, col, rank, length, acc0, BLOCK_R)
        if TILES > 1:
            acc1 = _dora_a_dot(w, a_ptr, j1, col, rank, length, acc1, BLOCK_R)
        if TILES > 2:
            acc2 = _dora_a_dot(w, a_ptr, j2, col, rank, length, acc2, BLOCK_R)
        w32 = w.to(tl.float32)
        squares += tl.sum(w32 * w32, axis=1)

    cross = _dora_b_sum(b_ptr, row, j0, rows, rank, acc0, BLOCK_R)
    if TILES > 1:
        cross += _dora_b_sum(b_ptr, row, j1, rows, rank, acc1, BLOCK_R)
    if TILES > 2:
        cross += _dora_b_sum(b_ptr, row, j2, rows, rank, acc2, BLOCK_R)
    gram = tl.zeros((BLOCK_O,), dtype=tl.float32)
    for tile in range(TILES):
        first = j0 + tile * BLOCK_R
        gram += _dora_gram_sum(
            b_ptr, gram_ptr, row, first, split, rows, rank, SPLITS, PARTS, BLOCK_O, BLOCK_R, BLOCK_K, GRAM_STAGES
        )
    total = tl.where(part % slices == 0, squares, 0.0) + 2.0 * s * cross + s * s * gram
    y = tl.sqrt(tl.maximum(total, 0.0)) if ROOT else total
    tl.store(out_ptr + part.to(tl.int64) * rows + row, y, mask=row < rows)


def _split_count(programs, steps, slots):
    """Into how many parts to split a loop of `steps` so that the last wave of programs is nearly full."""
    best, fewest = 1, None
    for splits in range(1, min(8, max(1, steps // 8)) + 1):
        waves = -(-programs * splits // slots) / splits + 0.03 * splits
        if fewest is None or waves < fewest:
            best, fewest = splits, waves
    return best


def _gram(a, block, wide):
    """G = A Aᵀ as partial sums [parts, r, r]; one part where tiles are many."""
    rank, length = a.shape
    tiles, block_i = triton.cdiv(rank, block), (128 if wide else 256) // a.element_size()
    splits = min(16 if wide else 8, triton.cdiv(length, 2 * block_i))
    parts = torch.empty((splits, rank, rank), dtype=torch.float32, device=a.device)
    _dora_gram[(tiles, tiles, splits)](
        a, parts, rank, length, SPLITS=splits, BLOCK_R=block, BLOCK_I=block_i,
        num_warps=8 if wide else 4, num_stages=3,
    )  # fmt: skip
    if not wide or splits == 1:
        return parts
    gram = torch.empty((1, rank, rank), dtype=torch.float32, device=a.device)
    size = rank * rank
    _dora_sum[(triton.cdiv(size, 512),)](parts, gram, size, splits, rank, TILE=block, ROOT=False, BLOCK=512)
    return gram


def dora_norm(w, a, b, s):
    """w [O, I], a [r, I], b [O, r], s → fp32 [O], the norms of the rows of w + s · b @ a."""
    w, a, b = w.contiguous(), a.contiguous(), b.contiguous()
    (rows, length), rank = w.shape, a.shape[0]
    out = torch.empty(rows, dtype=torch.float32, device=w.device)
    if out.numel() == 0:
        return out
    wide = rank > 64  # bound by the matrix unit, otherwise by reading W
    block_r = 128 if wide else max(16, triton.next_power_of_2(rank))
    block_o, tiles = (128, min(3, triton.cdiv(rank, block_r))) if wide else (64, 1)
    slices = triton.cdiv(rank, tiles * block_r)
    block_i = (128 if wide else 256) // w.element_size()
    gram = _gram(a, block_r, wide)
    programs = triton.cdiv(rows, block_o) * slices
    slots = torch.cuda.get_device_properties(0).multi_processor_count * (1 if wide else 2)
    splits = _split_count(programs, triton.cdiv(length, block_i), slots)
    alone = splits * slices == 1
    parts = out if alone else torch.empty((splits * slices, rows), dtype=torch.float32, device=w.device)
    _dora_rows[(programs * splits,)](
        w, a, b, gram, parts, s, rows, length, rank, slices,
        SPLITS=splits, PARTS=gram.shape[0], TILES=tiles, ROOT=alone,
        BLOCK_O=block_o, BLOCK_R=block_r, BLOCK_I=block_i, BLOCK_K=min(64, block_r),
    )  # fmt: skip
    if not alone:
        _dora_sum[(triton.cdiv(rows, 256),)](parts, out, rows, splits * slices, 1, TILE=1, ROOT=True, BLOCK=256)
    return out
