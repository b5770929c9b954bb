"""Neighbourhood attention on images: a tile of queries runs flash attention over the patch of keys that covers it.

1. The queries of a program are a TY x TX patch; their windows lie in one (TY+w-1) x (TX+w-1) patch, so a key is read
   once for the whole tile and nothing is ever gathered per query. Near a border the patch is cut to what is seen.
2. Keys come in strips of KY rows x KX columns, powers of two: the tests of (query, key row) and of (query, key column)
   are few and stay in registers, and a score pays one addition for both. That is so cheap that tiles which no query
   would mask (one in five at w = 33, none at w = 13) get no loop of their own.
3. Indices are clamped, not masked: a pixel outside the image or the patch is no neighbour of anyone anyway.
4. Dilation is a stride: a program sees one of the d x d interleaved images. The layout [B, Y, X, H, D] stays as it is.
5. Base 2: scale · log2(e) is folded into one fused multiply-add, `exp2` is one instruction.
"""

import torch
import triton
import triton.language as tl

NEVER: tl.constexpr = tl.constexpr(-1.0e30)  # finite: two of them add up, and -inf - -inf never happens


@triton.jit
def _window_start(place, group, WINDOW: tl.constexpr):
    return tl.minimum(tl.maximum(place - WINDOW // 2, 0), group - WINDOW)


@triton.jit
def _pixels(base, y, x, stride_y, stride_x, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Rows of D values of the pixels (y, x) as a tile [len(y), BLOCK_D]; every pixel is inside."""
    col = tl.arange(0, BLOCK_D)
    pointer = base + (y.to(tl.int64) * stride_y + x.to(tl.int64) * stride_x)[:, None] + col[None, :]
    return tl.load(pointer, mask=col[None, :] < D, other=0.0) if D < BLOCK_D else tl.load(pointer)


@triton.jit
def _store_pixels(base, tile, y, x, stride_y, stride_x, inside, D: tl.constexpr, BLOCK_D: tl.constexpr):
    d = tl.arange(0, BLOCK_D)
    pointer = base + (y.to(tl.int64) * stride_y + x.to(tl.int64) * stride_x)[:, None] + d[None, :]
    tl.store(pointer, tile.to(base.dtype.element_ty), mask=inside[:, None] & (d[None, :] < D))


def _config(ty, tx, ky, kx, warps, stages):
    return triton.Config({"TY": ty, "TX": tx, "KY": ky, "KX": kx}, num_warps=warps, num_stages=stages)


@triton.autotune(
    configs=[
        _config(8, 8, 2, 16, 4, 2), _config(8, 8, 4, 16, 4, 3), _config(8, 8, 4, 32, 4, 2), _config(8, 16, 4, 16, 4, 3),
        _config(8, 16, 4, 16, 8, 3), _config(8, 16, 4, 32, 8, 2), _config(8, 16, 8, 16, 8, 2),
    ],
    key=["height", "width", "WINDOW", "DILATION", "D"],
)  # fmt: skip
@triton.jit
def _neighbourhood(
    q_ptr, k_ptr, v_ptr, o_ptr, scale2, height, width, heads,
    q_b, q_y, q_x, q_h, k_b, k_y, k_x, k_h, v_b, v_y, v_x, v_h, o_b, o_y, o_x, o_h,
    WINDOW: tl.constexpr, DILATION: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr,
    TY: tl.constexpr, TX: tl.constexpr, KY: tl.constexpr, KX: tl.constexpr,
):  # fmt: skip
    """Grid: tiles of one interleaved image (fastest), interleaved images, heads, batch."""
    tiles_x = tl.cdiv(tl.cdiv(width, DILATION), TX)
    tiles = tl.cdiv(tl.cdiv(height, DILATION), TY) * tiles_x
    tile = tl.program_id(0) % tiles
    image = tl.program_id(0) // tiles % (DILATION * DILATION)
    plane = tl.program_id(0) // (tiles * DILATION * DILATION)
    batch, head = (plane // heads).to(tl.int64), plane % heads
    residue_y, residue_x = image // DILATION, image % DILATION
    group_y, group_x = tl.cdiv(height - residue_y, DILATION), tl.cdiv(width - residue_x, DILATION)
    first_y, first_x = tile // tiles_x * TY, tile % tiles_x * TX
    if first_y >= group_y or first_x >= group_x:  # this interleaved image is one row or column smaller than the first
        return
    q_ptr += batch * q_b + head * q_h + residue_y * q_y + residue_x * q_x
    k_ptr += batch * k_b + head * k_h + residue_y * k_y + residue_x * k_x
    v_ptr += batch * v_b + head * v_h + residue_y * v_y + residue_x * v_x
    o_ptr += batch * o_b + head * o_h + residue_y * o_y + residue_x * o_x
    q_y, q_x, k_y, k_x = q_y * DILATION, q_x * DILATION, k_y * DILATION, k_x * DILATION
    v_y, v_x, o_y, o_x = v_y * DILATION, v_x * DILATION, o_y * DILATION, o_x * DILATION

    query = tl.arange(0, TY * TX)
    y = tl.minimum(first_y + query // TX, group_y - 1)  # pixels outside repeat the last one inside
    x = tl.minimum(first_x + query % TX, group_x - 1)
    q = _pixels(q_ptr, y, x, q_y, q_x, D, BLOCK_D)
    low_y, low_x = _window_start(first_y, group_y, WINDOW), _window_start(first_x, group_x, WINDOW)
    high_y = _window_start(tl.minimum(first_y + TY, group_y) - 1, group_y, WINDOW) + WINDOW
    high_x = _window_start(tl.minimum(first_x + TX, group_x) - 1, group_x, WINDOW) + WINDOW
    start_y, start_x = _window_start(y, group_y, WINDOW) - low_y, _window_start(x, group_x, WINDOW) - low_x
    strips = tl.cdiv(high_x - low_x, KX)

    acc = tl.zeros((TY * TX, BLOCK_D), dtype=tl.float32)
    top = tl.full((TY * TX,), NEVER, dtype=tl.float32)
    total = tl.zeros((TY * TX,), dtype=tl.float32)
    key = tl.arange(0, KY * KX)
    for step in range(tl.cdiv(high_y - low_y, KY) * strips):
        row = step // strips * KY + key // KX  # within the patch
        col = step % strips * KX + key % KX
        image_y, image_x = tl.minimum(low_y + row, group_y - 1), tl.minimum(low_x + col, group_x - 1)
        k = _pixels(k_ptr, image_y, image_x, k_y, k_x, D, BLOCK_D)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee")
        away_y, away_x = row[None, :] - start_y[:, None], col[None, :] - start_x[:, None]
        bias = tl.where((away_y >= 0) & (away_y < WINDOW), 0.0, NEVER)
        bias += tl.where((away_x >= 0) & (away_x < WINDOW), 0.0, NEVER)
        scores = scores * scale2 + bias
        # a row without a neighbour so far has top = NEVER and p = 1; the first neighbour makes all of that vanish
        new_top = tl.maximum(top, tl.max(scores, axis=1))
        p = tl.exp2(scores - new_top[:, None])
        fade = tl.exp2(top - new_top)
        total = total * fade + tl.sum(p, axis=1)
        v = _pixels(v_ptr, image_y, image_x, v_y, v_x, D, BLOCK_D)
        acc = tl.dot(p.to(v.dtype), v, acc * fade[:, None], input_precision="ieee")
        top = new_top

    inside = (first_y + query // TX < group_y) & (first_x + query % TX < group_x)
    _store_pixels(o_ptr, acc / total[:, None], y, x, o_y, o_x, inside, D, BLOCK_D)


def _rows_contiguous(x):
    return x if x.stride(-1) == 1 else x.contiguous()


def na2d_fused(q, k, v, window, dilation=1):
    """q, k, v [B, Y, X, H, D], window · dilation <= min(Y, X) → [B, Y, X, H, D] in the dtype of q."""
    q, k, v = _rows_contiguous(q), _rows_contiguous(k), _rows_contiguous(v)
    batch, height, width, heads, d = q.shape
    out = torch.empty((batch, height, width, heads, d), dtype=q.dtype, device=q.device)
    if q.numel() == 0:
        return out
    largest_y, largest_x = triton.cdiv(height, dilation), triton.cdiv(width, dilation)

    def grid(meta):
        tiles = triton.cdiv(largest_y, meta["TY"]) * triton.cdiv(largest_x, meta["TX"])
        return (tiles * dilation * dilation * heads * batch,)

    _neighbourhood[grid](
        q, k, v, out, d**-0.5 * 1.4426950408889634, height, width, heads,
        *q.stride()[:4], *k.stride()[:4], *v.stride()[:4], *out.stride()[:4],
        WINDOW=window, DILATION=dilation, D=d, BLOCK_D=max(16, triton.next_power_of_2(d)),
    )  # fmt: skip
    return out
