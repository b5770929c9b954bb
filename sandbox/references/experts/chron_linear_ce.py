"""Linear layer and cross-entropy, forward and backward, in slices of the vocabulary. No logits beyond one slice exist.

1. A first sweep computes logits tile by tile and keeps a running maximum and sum per row; only those leave the chip.
2. Then, slice by slice of the vocabulary: logits again, turned into their gradient in the inputs' dtype, and two plain
   matrix products from that scratch. Four products in all (8·N·D·V), each at the speed of a clean one; fusing a
   recomputation into both gradients would take five. Slices of rows would take three, but would have to add every
   slice to all of d_weight: in bf16 that loses digits, in fp32 it takes 544 MB at N = 8192, D = 896, V = 151936.
3. With slices of the vocabulary each tile of d_weight is finished by one program, summed in fp32 and rounded once.
   Only d_hidden is summed across slices, in an fp32 buffer of N · D.
4. Both gradients of a slice are tiles of one launch, the longer ones first, so that there is one tail, not two.
   Programs that share a tile of the scratch are neighbours in the grid and meet in L2.
5. Where N · D has too few tiles to fill the GPU, d_hidden's sum over the vocabulary is split; a last kernel adds up.
6. Two programs of 128 x 128 fit on an SM of Hopper, so that one computes exponentials while the other multiplies.
"""

import torch
import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
SHIFT = tl.constexpr(15.0)  # logit gradients are stored times 2^15: fp16 would lose small probabilities
SCRATCH_BYTES = 80_000_000
ALIGN = 256  # the largest tile of any configuration


@triton.jit
def _load(pointer, inside, ALL: tl.constexpr):
    return tl.load(pointer) if ALL else tl.load(pointer, mask=inside, other=0.0)


@triton.jit
def _logits_tile(
    hidden_ptr, weight_ptr, first_row, first_entry, rows, depth, EVEN_ROWS: tl.constexpr, VOCAB: tl.constexpr,
    D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A tile of hidden @ weightᵀ; rows and entries outside are copies of the last one. `depth` is D, but not known to
    the compiler, which would otherwise unroll the whole loop and spill."""
    row, entry, k = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_K)
    if not EVEN_ROWS:
        row = tl.minimum(row, rows - 1 - first_row)
    if VOCAB % BLOCK_N != 0:
        entry = tl.minimum(entry, VOCAB - 1 - first_entry)
    a_ptr = hidden_ptr + tl.cast(first_row, tl.int64) * D + row[:, None] * D + k[None, :]
    b_ptr = weight_ptr + tl.cast(first_entry, tl.int64) * D + entry[None, :] * D + k[:, None]
    logits = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, depth, BLOCK_K):
        a = _load(a_ptr, start + k[None, :] < D, D % BLOCK_K == 0)
        b = _load(b_ptr, start + k[:, None] < D, D % BLOCK_K == 0)
        logits = tl.dot(a, b, logits)
        a_ptr += BLOCK_K
        b_ptr += BLOCK_K
    return logits


def _config(block_m, block_n, warps, stages):
    return triton.Config({"BLOCK_M": block_m, "BLOCK_N": block_n}, num_warps=warps, num_stages=stages)


PAIR, WIDE, DEEP = _config(128, 128, 4, 3), _config(128, 256, 8, 3), _config(128, 256, 8, 4)
TALL, TALL_DEEP = _config(256, 128, 8, 3), _config(256, 128, 8, 4)
LOGITS_CONFIGS = [PAIR, WIDE, DEEP, PAIR, PAIR, DEEP]
GRADIENT_CONFIGS = [PAIR, TALL, TALL_DEEP, TALL, TALL_DEEP, PAIR]


@triton.autotune(configs=LOGITS_CONFIGS, key=["D", "VOCAB"])
@triton.jit
def _partial_logsumexp(
    hidden_ptr, weight_ptr, top_ptr, total_ptr, rows, depth, each, EVEN_ROWS: tl.constexpr, VOCAB: tl.constexpr,
    D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Maximum of the logits and sum of their exponentials above it; program (split, tile of rows) covers `each` entries
    of the vocabulary, a multiple of BLOCK_N."""
    tiles = tl.cdiv(rows, BLOCK_M)
    first_row, split = tl.program_id(0) % tiles * BLOCK_M, tl.program_id(0) // tiles
    top = tl.full((BLOCK_M,), -float("inf"), dtype=tl.float32)
    total = tl.zeros((BLOCK_M,), dtype=tl.float32)
    for start in range(split * each, tl.minimum(split * each + each, VOCAB), BLOCK_N):
        logits = _logits_tile(
            hidden_ptr, weight_ptr, first_row, start, rows, depth, EVEN_ROWS, VOCAB, D, BLOCK_M, BLOCK_N, BLOCK_K
        )
        if VOCAB % BLOCK_N != 0:
            logits = tl.where((start + tl.arange(0, BLOCK_N))[None, :] < VOCAB, logits, -float("inf"))
        new_top = tl.maximum(top, tl.max(logits, axis=1))
        total = total * tl.exp2((top - new_top) * LOG2E)
        total += tl.sum(tl.exp2(logits * LOG2E - (new_top * LOG2E)[:, None]), axis=1)
        top = new_top
    row = first_row + tl.arange(0, BLOCK_M)
    out = split.to(tl.int64) * rows + row
    tl.store(top_ptr + out, top, mask=row < rows)
    tl.store(total_ptr + out, total, mask=row < rows)


@triton.jit
def _finish_rows(
    hidden_ptr, weight_ptr, target_ptr, top_ptr, total_ptr, lse2_ptr, loss_ptr, rows, splits,
    D: tl.constexpr, ROWS: tl.constexpr, SPLITS: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Row logsumexp in base 2 (infinite where ignored, so that every probability becomes 0), and row losses."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    split = tl.arange(0, SPLITS)
    inside = (split[:, None] < splits) & (row[None, :] < rows)
    at = split[:, None].to(tl.int64) * rows + row[None, :]
    tops = tl.load(top_ptr + at, mask=inside, other=-float("inf"))
    top = tl.where(row < rows, tl.max(tops, axis=0), 0.0)
    total = tl.sum(tl.load(total_ptr + at, mask=inside, other=0.0) * tl.exp2((tops - top[None, :]) * LOG2E), axis=0)
    lse2 = top * LOG2E + tl.log2(tl.where(row < rows, total, 1.0))

    target = tl.load(target_ptr + row, mask=row < rows, other=-100)
    kept = target != -100
    chosen = tl.zeros((ROWS,), dtype=tl.float32)
    for start in range(0, D, BLOCK_D):
        col = start + tl.arange(0, BLOCK_D)
        used = kept[:, None] & (col[None, :] < D)
        h = tl.load(hidden_ptr + row[:, None] * D + col[None, :], mask=used, other=0.0).to(tl.float32)
        w = tl.load(weight_ptr + target[:, None] * D + col[None, :], mask=used, other=0.0).to(tl.float32)
        chosen += tl.sum(h * w, axis=1)
    tl.store(lse2_ptr + row, tl.where(kept, lse2, float("inf")), mask=row < rows)
    tl.store(loss_ptr + row, tl.where(kept, lse2 / LOG2E - chosen, 0.0), mask=row < rows)


@triton.jit
def _mean_loss(row_loss_ptr, target_ptr, loss_ptr, share_ptr, rows, BLOCK: tl.constexpr):
    """The mean over rows that count, and 1 / their number."""
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    count = tl.zeros((BLOCK,), dtype=tl.int32)
    for start in range(0, rows, BLOCK):
        row = start + tl.arange(0, BLOCK)
        total += tl.load(row_loss_ptr + row, mask=row < rows, other=0.0)
        count += (tl.load(target_ptr + row, mask=row < rows, other=-100) != -100).to(tl.int32)
    share = 1.0 / tl.maximum(tl.sum(count, axis=0), 1).to(tl.float32)
    tl.store(loss_ptr, tl.sum(total, axis=0) * share)
    tl.store(share_ptr, share)


@triton.autotune(configs=LOGITS_CONFIGS, key=["D", "VOCAB"])
@triton.jit
def _logit_gradients(
    hidden_ptr, weight_ptr, target_ptr, lse2_ptr, scratch_ptr, rows, depth, first, last, each,
    EVEN_ROWS: tl.constexpr, PITCH: tl.constexpr, VOCAB: tl.constexpr,
    D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """scratch[n, v - first] = 2^15 · (softmax - one-hot) for entries [first, last), 0 for rows that do not count.

    Whole tiles are written. Columns past the vocabulary hold copies of its last entry: finite, and never used.
    """
    tiles = tl.cdiv(rows, BLOCK_M)
    first_row, begin = tl.program_id(0) % tiles * BLOCK_M, first + tl.program_id(0) // tiles * each
    row, col = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_N)
    lse2 = tl.load(lse2_ptr + first_row + row, mask=row < rows - first_row, other=float("inf")) - SHIFT
    target = tl.load(target_ptr + first_row + row, mask=row < rows - first_row, other=-100).to(tl.int32)
    out_ptr = scratch_ptr + first_row.to(tl.int64) * PITCH + row[:, None] * PITCH + col[None, :]
    for start in range(begin, tl.minimum(begin + each, last), BLOCK_N):
        logits = _logits_tile(
            hidden_ptr, weight_ptr, first_row, start, rows, depth, EVEN_ROWS, VOCAB, D, BLOCK_M, BLOCK_N, BLOCK_K
        )
        gradient = tl.exp2(logits * LOG2E - lse2[:, None])
        gradient = tl.where(col[None, :] == (target - start)[:, None], gradient - 32768.0, gradient)
        tl.store(out_ptr + (start - first), gradient.to(scratch_ptr.dtype.element_ty))


@triton.jit
def _weight_tile(
    tile, first_col, scratch_ptr, hidden_ptr, d_weight_ptr, share_ptr, rows, first, width,
    EVEN_ROWS: tl.constexpr, PITCH: tl.constexpr, VOCAB: tl.constexpr,
    D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A finished tile of d_weight[first : first + width] = scratchᵀ @ hidden."""
    k, entry, col = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_N)
    in_col = first_col + col[None, :] < D
    in_width = entry < width - tile * BLOCK_M
    a_ptr = scratch_ptr + tile * BLOCK_M + k[:, None] * PITCH + entry[None, :]
    b_ptr = hidden_ptr + first_col + k[:, None] * D + col[None, :]
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, rows, BLOCK_K):
        a = _load(a_ptr, in_width[None, :], VOCAB % BLOCK_M == 0)
        b = _load(b_ptr, (start + k[:, None] < rows) & in_col, EVEN_ROWS and D % BLOCK_N == 0)
        acc = tl.dot(tl.trans(a), b, acc)
        a_ptr += BLOCK_K * PITCH
        b_ptr += BLOCK_K * D
    acc *= tl.load(share_ptr) / 32768.0
    out_ptr = d_weight_ptr + (first + tile * BLOCK_M).to(tl.int64) * D + first_col + entry[:, None] * D + col[None, :]
    tl.store(out_ptr, acc.to(d_weight_ptr.dtype.element_ty), mask=in_width[:, None] & in_col)


@triton.jit
def _hidden_tile(
    tile, first_col, split, scratch_ptr, weight_ptr, sum_ptr, rows, first, width, each,
    EVEN_ROWS: tl.constexpr, PITCH: tl.constexpr, VOCAB: tl.constexpr,
    D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A tile of sum[split] += scratch @ weight[first : first + width], over the split's `each` entries of those."""
    k, row, col = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_N)
    in_col = first_col + col[None, :] < D
    first_row, begin = tile * BLOCK_M, split * each
    in_rows = row < rows - first_row
    a_ptr = scratch_ptr + first_row.to(tl.int64) * PITCH + begin + row[:, None] * PITCH + k[None, :]
    b_ptr = weight_ptr + (first + begin).to(tl.int64) * D + first_col + k[:, None] * D + col[None, :]
    out_ptr = sum_ptr + (split * rows + first_row).to(tl.int64) * D + first_col + row[:, None] * D + col[None, :]
    summed = tl.where(first > 0, rows, 0)  # rows that hold the sum over earlier slices
    acc = tl.load(out_ptr, mask=(row[:, None] < summed - first_row) & in_col, other=0.0)
    for start in range(begin, tl.minimum(begin + each, width), BLOCK_K):
        a = _load(a_ptr, in_rows[:, None], EVEN_ROWS)
        b = _load(b_ptr, (start + k[:, None] < width) & in_col, VOCAB % BLOCK_K == 0 and D % BLOCK_N == 0)
        acc = tl.dot(a, b, acc)
        a_ptr += BLOCK_K
        b_ptr += BLOCK_K * D
    tl.store(out_ptr, acc, mask=in_rows[:, None] & in_col)


@triton.autotune(configs=GRADIENT_CONFIGS, key=["D", "VOCAB"], restore_value=["sum_ptr"])
@triton.jit
def _gradients(
    scratch_ptr, hidden_ptr, weight_ptr, sum_ptr, d_weight_ptr, share_ptr, rows, first, last, each, splits,
    EVEN_ROWS: tl.constexpr, PITCH: tl.constexpr, VOCAB: tl.constexpr,
    D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """All tiles of both gradients of a slice, those that take longer first."""
    COL_TILES: tl.constexpr = (D + BLOCK_N - 1) // BLOCK_N
    width, row_tiles = last - first, tl.cdiv(rows, BLOCK_M)
    panel, first_col = tl.program_id(0) // COL_TILES, tl.program_id(0) % COL_TILES * BLOCK_N
    ahead = tl.where(each > rows, row_tiles * splits, 0)  # panels of d_hidden before those of d_weight
    tile, tiles = panel - ahead, tl.cdiv(width, BLOCK_M)
    if (tile >= 0) & (tile < tiles):
        _weight_tile(
            tile, first_col, scratch_ptr, hidden_ptr, d_weight_ptr, share_ptr, rows, first, width,
            EVEN_ROWS, PITCH, VOCAB, D, BLOCK_M, BLOCK_N, BLOCK_K,
        )  # fmt: skip
    else:
        tile = tl.where(tile < 0, panel, tile - tiles)
        _hidden_tile(
            tile % row_tiles, first_col, tile // row_tiles, scratch_ptr, weight_ptr, sum_ptr, rows, first, width,
            each, EVEN_ROWS, PITCH, VOCAB, D, BLOCK_M, BLOCK_N, BLOCK_K,
        )  # fmt: skip


@triton.jit
def _add_splits(sum_ptr, share_ptr, out_ptr, elements, splits, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for _ in range(splits):
        total += tl.load(sum_ptr + at, mask=at < elements, other=0.0)
        sum_ptr += elements
    scale = tl.load(share_ptr) / 32768.0
    tl.store(out_ptr + at, (total * scale).to(out_ptr.dtype.element_ty), mask=at < elements)


def _aligned(n, parts):
    """The size of each of `parts` pieces of n, a multiple of the largest tile."""
    return triton.cdiv(triton.cdiv(n, max(1, parts)), ALIGN) * ALIGN


def chron_linear_ce(hidden, weight, target):
    """hidden [N, D], weight [V, D], target [N] → loss [] fp32, d loss / d hidden [N, D], d loss / d weight [V, D]."""
    hidden, weight, target = hidden.contiguous(), weight.contiguous(), target.contiguous()
    (n, d), v, cdiv, power = hidden.shape, weight.shape[0], triton.cdiv, triton.next_power_of_2
    d_hidden, d_weight = torch.empty_like(hidden), torch.empty_like(weight)

    def fp32(*shape):
        return torch.empty(shape, dtype=torch.float32, device=hidden.device)

    loss, share = fp32(), fp32(1)
    if hidden.numel() == 0 or v == 0:
        return loss.zero_(), d_hidden.zero_(), d_weight.zero_()
    processors = torch.cuda.get_device_properties(hidden.device).multi_processor_count
    row_tiles, padded = cdiv(n, 128), cdiv(n, ALIGN) * ALIGN
    shape = {"D": d, "VOCAB": v, "EVEN_ROWS": n == padded, "BLOCK_K": 128 // hidden.element_size()}

    each = _aligned(v, 16 * processors // row_tiles)
    splits = cdiv(v, each)
    tops, totals, lse2, losses = fp32(splits, n), fp32(splits, n), fp32(n), fp32(n)
    _partial_logsumexp[lambda meta: (cdiv(n, meta["BLOCK_M"]) * splits,)](
        hidden, weight, tops, totals, n, d, each, **shape
    )
    _finish_rows[(cdiv(n, 4),)](
        hidden, weight, target, tops, totals, lse2, losses, n, splits,
        D=d, ROWS=4, SPLITS=power(splits), BLOCK_D=min(512, power(d)), num_warps=4,
    )  # fmt: skip
    _mean_loss[(1,)](losses, target, loss, share, n, BLOCK=4096, num_warps=8)

    most = max(ALIGN, SCRATCH_BYTES // (padded * hidden.element_size()) // ALIGN * ALIGN)
    pitch = _aligned(v, cdiv(v, most))
    scratch = torch.empty((padded, pitch), dtype=hidden.dtype, device=hidden.device)
    piece = _aligned(pitch, 8 * processors // row_tiles)
    part = _aligned(min(v, pitch), min(16, 2 * processors // (row_tiles * cdiv(d, 128))))
    sums = fp32(cdiv(min(v, pitch), part), n, d)
    for first in range(0, v, pitch):
        last = min(v, first + pitch)
        pieces, parts = cdiv(last - first, piece), cdiv(last - first, part)
        _logit_gradients[lambda meta, pieces=pieces: (cdiv(n, meta["BLOCK_M"]) * pieces,)](
            hidden, weight, target, lse2, scratch, n, d, first, last, piece, PITCH=pitch, **shape
        )
        _gradients[
            lambda meta, width=last - first, parts=parts: (
                (cdiv(width, meta["BLOCK_M"]) + cdiv(n, meta["BLOCK_M"]) * parts) * cdiv(d, meta["BLOCK_N"]),
            )
        ](scratch, hidden, weight, sums, d_weight, share, n, first, last, part, parts, PITCH=pitch, **shape)
    _add_splits[(cdiv(n * d, 4096),)](sums, share, d_hidden, n * d, sums.shape[0], BLOCK=4096, num_warps=8)
    return loss, d_hidden, d_weight
