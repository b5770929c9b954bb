"""Weight-only quantised matmul: bit planes become tensor-core operands in registers, at two instructions a weight.

Up to 64 rows of x (the weights are read once; what counts is instructions a weight):
1. Planes are interleaved pairwise into fields of 2, 4, 8 bits by masked shifts on whole words, 32 weights at a time:
   half an instruction a weight where moving single bits takes b.
2. A field is masked out of two half-words at once and gets the exponent of 1.0: `1 + code / 128` in bf16 or fp16, two
   exact values a register, with no conversion. Scale and zero point enter after the product of 128 weights, where
   `sum(scale · (code - zero) · x) = scale · 128 · (sum(value · x) - (1 + zero / 128) · sum(x))`, in fp32.
3. The order of a sum is free: x is permuted once, in a small first launch that also sums it, so that the word a thread
   loads holds the elements that the tensor core wants from that thread. Weights are the left operand, in registers;
   they pass through shared memory packed, and no layout is converted.
4. Split-K fills the GPU; a last launch adds the parts. Loads are not masked: x is padded, rows and words are clamped.
5. Narrow groups, 8 bits in bf16, fp32 and code books scale each weight in fp32 before the product instead.
More rows: weights are dequantised once to the dtype of x, then a matmul with full-size tiles.
"""

import torch
import triton
import triton.language as tl

TILE = tl.constexpr(128)  # elements of K that one product takes: four words of each plane
LOOK_UP = tl.constexpr(0)  # kinds of weight: an entry of the code book,
SCALED = tl.constexpr(1)  # a scaled code,
RAW = tl.constexpr(2)  # 1 + code / RANGE, scaled after the product
FEW_ROWS = 64  # of x
PROGRAMS = 3168  # at most, of a split launch: 24 a multiprocessor on a 132-multiprocessor GPU
# Arguments of kernels: the compiler would take `(a & mask) | (b & ~mask)` with known masks apart into two instructions.
ONES, TWOS, FOURS = 0x55555555, 0x33333333, 0x0F0F0F0F


@triton.jit
def _merge(a, b, mask, WIDTH: tl.constexpr, PRESENT: tl.constexpr):
    """Fields of WIDTH bits → of 2 WIDTH bits, `a` below `b` (or below anything): those at even places, at odd ones."""
    if PRESENT:
        left, right = b << WIDTH, a >> WIDTH
        return left ^ ((left ^ a) & mask), b ^ ((b ^ right) & mask)
    else:
        return a, a >> WIDTH


@triton.jit
def _four_planes(ptr, plane, masks, COUNT: tl.constexpr):
    """Words of COUNT planes → words 0 to 3 of 4-bit fields: field k of word q belongs to element 4 k + q."""
    p0 = tl.load(ptr).to(tl.uint32, bitcast=True)
    p1 = tl.load(ptr + plane).to(tl.uint32, bitcast=True) if COUNT > 1 else p0
    p2 = tl.load(ptr + plane * 2).to(tl.uint32, bitcast=True) if COUNT > 2 else p0
    p3 = tl.load(ptr + plane * 3).to(tl.uint32, bitcast=True) if COUNT > 3 else p0
    even, odd = _merge(p0, p1, masks[0], 1, COUNT > 1)
    high_even, high_odd = _merge(p2, p3, masks[0], 1, COUNT > 3)
    w0, w2 = _merge(even, high_even, masks[1], 2, COUNT > 2)
    w1, w3 = _merge(odd, high_odd, masks[1], 2, COUNT > 2)
    return w0, w1, w2, w3


@triton.jit
def _fields(ptr, plane, masks, BITS: tl.constexpr):
    """The words at `ptr` of all planes, `plane` words apart → 4 words of 4-bit fields or 8 of bytes, ordered alike."""
    low = _four_planes(ptr, plane, masks, min(BITS, 4))
    if BITS <= 4:
        return low
    else:
        high = _four_planes(ptr + plane * 4, plane, masks, BITS - 4)
        w0, w4 = _merge(low[0], high[0], masks[2], 4, True)
        w1, w5 = _merge(low[1], high[1], masks[2], 4, True)
        w2, w6 = _merge(low[2], high[2], masks[2], 4, True)
        w3, w7 = _merge(low[3], high[3], masks[2], 4, True)
        return w0, w1, w2, w3, w4, w5, w6, w7


@triton.jit
def _two(fields, how, PLACE: tl.constexpr, BITS: tl.constexpr, KIND: tl.constexpr, OUT: tl.constexpr):
    """The weights at PLACE and PLACE + 16 of every word, joined; `how` is (exponent, scale, shift, code book)."""
    FLOAT: tl.constexpr = tl.bfloat16 if OUT is tl.bfloat16 and BITS < 8 else tl.float16
    LOWEST: tl.constexpr = (0 if FLOAT is tl.bfloat16 else 3) + (5 if BITS < 3 else 0) - BITS // 8  # 1 / RANGE of 1.0
    DOWN: tl.constexpr = PLACE // len(fields) * len(fields) - (LOWEST if KIND else 0)
    word = fields[PLACE % len(fields)]
    word = word >> DOWN if DOWN > 0 else (word << -DOWN if DOWN < 0 else word)
    both = (word & (((1 << BITS) - 1) * 0x10001 << (LOWEST if KIND else 0))) | how[0]
    lower, upper = both.to(tl.uint16), (both >> 16).to(tl.uint16)
    if KIND == LOOK_UP:
        a, b = tl.load(how[3] + lower.to(tl.int32)), tl.load(how[3] + upper.to(tl.int32))
    else:
        a, b = lower.to(FLOAT, bitcast=True), upper.to(FLOAT, bitcast=True)
    if KIND != RAW:
        a, b = a.to(tl.float32) * how[1] + how[2], b.to(tl.float32) * how[1] + how[2]
    return tl.join(a.to(OUT), b.to(OUT))


@triton.jit
def _eight(fields, how, PLACE: tl.constexpr, BITS: tl.constexpr, KIND: tl.constexpr, OUT: tl.constexpr):
    """The weights at PLACE + 4 a + 8 b + 16 e of every word, as [..., e, a, b]."""
    first = tl.join(_two(fields, how, PLACE, BITS, KIND, OUT), _two(fields, how, PLACE + 4, BITS, KIND, OUT))
    last = tl.join(_two(fields, how, PLACE + 8, BITS, KIND, OUT), _two(fields, how, PLACE + 12, BITS, KIND, OUT))
    return tl.join(first, last)


@triton.jit
def _weights(
    source, plane, scale_ptr, zero_ptr, lut_ptr, place, ones, twos, fours, exponent,
    BITS: tl.constexpr, KIND: tl.constexpr, OUT: tl.constexpr,
):  # fmt: skip
    """The weights of the words at `source` as [..., 2, 2, 2, 2, 2], by bits 16, 4, 8, 1, 2 of their place in a word."""
    fields = _fields(source, plane, (ones.to(tl.uint32), twos.to(tl.uint32), fours.to(tl.uint32)), BITS)
    scale, shift = 1.0, 0.0
    if KIND != RAW:
        scale = tl.load(scale_ptr + place).to(tl.float32)
        shift = -scale * tl.load(zero_ptr + place).to(tl.float32)
    if KIND == SCALED:
        scale *= 256.0 if BITS == 8 else (128.0 if BITS > 2 else 4.0)
        shift -= scale
    how = (exponent.to(tl.uint32), scale, shift, lut_ptr)
    first = tl.join(_eight(fields, how, 0, BITS, KIND, OUT), _eight(fields, how, 1, BITS, KIND, OUT))
    last = tl.join(_eight(fields, how, 2, BITS, KIND, OUT), _eight(fields, how, 3, BITS, KIND, OUT))
    return tl.join(first, last)


@triton.jit
def _prepare(x_ptr, permuted_ptr, sum_ptr, rows, width, tiles, BLOCK_M: tl.constexpr):
    """x in the order in which a tile's weights leave their words, [tiles, BLOCK_M, TILE] a block, and its sums."""
    tile, block = tl.program_id(0), tl.program_id(1)
    lane = tl.arange(0, TILE)
    pair = lane // 8  # lane is 8 pair + 2 (word ^ 1) + half, and pair the bits 4, 8, 1, 2 of the place in a word
    place = lane % 2 * 16 + (pair >> 3 & 1) * 4 + (pair >> 2 & 1) * 8 + (pair >> 1 & 1) + (pair & 1) * 2
    k = tile * TILE + (lane // 2 % 4 ^ 1) * 32 + place
    slot = tl.arange(0, BLOCK_M)
    row = (block * BLOCK_M + slot).to(tl.int64)[:, None]
    x = tl.load(x_ptr + row * width + k[None, :], mask=(row < rows) & (k[None, :] < width), other=0.0)
    out = (block * tiles + tile).to(tl.int64) * BLOCK_M + slot
    tl.store(permuted_ptr + out[:, None] * TILE + lane[None, :], x)
    tl.store(sum_ptr + out, tl.sum(x.to(tl.float32), axis=1))


_SPLIT_CONFIGS = [
    triton.Config({"BLOCK_N": n, "TILES": tiles}, num_warps=4, num_stages=stages)
    for n, tiles, stages in ((64, 2, 3), (128, 2, 3), (64, 2, 4), (128, 1, 4))
]


@triton.autotune(configs=_SPLIT_CONFIGS, key=["rows", "columns", "words", "BITS"])
@triton.jit
def _split_product(
    permuted_ptr, sum_ptr, planes_ptr, scale_ptr, zero_ptr, lut_ptr, out_ptr,
    rows, columns, plane, words, groups, blocks, tiles, tiles_each, ones, twos, fours, exponent,
    BITS: tl.constexpr, WORDS_EACH: tl.constexpr, KIND: tl.constexpr, EXACT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """One split of the tiles of K: out[split, rows, columns] = x Wᵀ, the tile of W being the left operand."""
    block, split = tl.program_id(0) % blocks, tl.program_id(1)
    base = tl.program_id(0) // blocks * BLOCK_N
    # A load gives bits 0-4 of its index to lanes, 5-6 to warps, the rest to registers; the operand holds in these bits
    # 0-1 of a word (in any order but the natural one: a thread is to load one word, not four) and 0-2, 4-5, 3, 6 of n.
    q = tl.arange(0, BLOCK_N * 4)
    word, n = q & 3 ^ 1, (q >> 2 & 7) | (q >> 5 & 3) << 4 | (q >> 7 & 1) << 3 | q >> 8 << 6
    row = tl.minimum(base + n, columns - 1).to(tl.int64)
    column = base + tl.arange(0, BLOCK_N)
    factor = tl.minimum(column, columns - 1).to(tl.int64) * groups
    slot, lane = tl.arange(0, BLOCK_M), tl.arange(0, TILE)
    RANGE: tl.constexpr = 256.0 if BITS == 8 else (128.0 if BITS > 2 else 4.0)
    acc = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.float32)
    for start in tl.range(split * tiles_each, (split + 1) * tiles_each, TILES, num_stages=None if KIND else 1):
        for i in tl.static_range(TILES):
            tile = start + i
            at = tl.minimum(tile * 4 + word, words - 1)
            source = planes_ptr + start * 4 + i * 4 + (row * words + word) if EXACT else planes_ptr + (row * words + at)
            w = _weights(source, plane, scale_ptr, zero_ptr, lut_ptr, row * groups + at // WORDS_EACH,
                         ones, twos, fours, exponent, BITS, KIND, permuted_ptr.dtype.element_ty)  # fmt: skip
            w = tl.reshape(w, (BLOCK_N // 64, 2, 4, 8, 4, 2, 16))
            w = tl.reshape(tl.permute(w, (0, 2, 1, 3, 6, 4, 5)), (BLOCK_N, TILE))
            x_row = (block * tiles + tile) * BLOCK_M + slot
            x = tl.load(permuted_ptr + x_row[:, None] * TILE + lane[None, :])
            if KIND == RAW:
                product = tl.dot(w, tl.trans(x))
                group = (tile * 4 if EXACT else tl.minimum(tile * 4, words - 1)) // WORDS_EACH
                scale = tl.load(scale_ptr + factor + group).to(tl.float32)
                zero = tl.load(zero_ptr + factor + group).to(tl.float32)
                offset = (1.0 + zero / RANGE)[:, None] * tl.load(sum_ptr + x_row)[None, :]
                acc += (scale * RANGE)[:, None] * (product - offset)
            else:
                acc = tl.dot(w, tl.trans(x), acc)
    m = block * BLOCK_M + slot
    out = out_ptr + (split * rows + m[None, :]).to(tl.int64) * columns + column[:, None]
    tl.store(out, acc.to(out_ptr.dtype.element_ty), mask=(m[None, :] < rows) & (column[:, None] < columns))


@triton.jit
def _add_splits(part_ptr, out_ptr, size, splits, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for _ in range(splits):
        total += tl.load(part_ptr + at, mask=at < size, other=0.0)
        part_ptr += size
    tl.store(out_ptr + at, total.to(out_ptr.dtype.element_ty), mask=at < size)


@triton.jit
def _dequantise(
    planes_ptr, scale_ptr, zero_ptr, lut_ptr, weight_ptr, columns, plane, words, groups, ones, twos, fours, exponent,
    BITS: tl.constexpr, WORDS_EACH: tl.constexpr, KIND: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """Weights [columns, words * 32] in the dtype of the output, in their natural order."""
    q = tl.arange(0, BLOCK_N * BLOCK_W)
    row, word = tl.program_id(0).to(tl.int64) * BLOCK_N + q // BLOCK_W, tl.program_id(1) * BLOCK_W + q % BLOCK_W
    row, word = tl.minimum(row, columns - 1), tl.minimum(word, words - 1)  # past an end, the last is written again
    at = row * words + word
    w = _weights(planes_ptr + at, plane, scale_ptr, zero_ptr, lut_ptr, row * groups + word // WORDS_EACH,
                 ones, twos, fours, exponent, BITS, KIND, weight_ptr.dtype.element_ty)  # fmt: skip
    w = tl.reshape(tl.permute(w, (0, 1, 3, 2, 5, 4)), (BLOCK_N * BLOCK_W, 32))
    tl.store(weight_ptr + at[:, None] * 32 + tl.arange(0, 32)[None, :], w)


_PRODUCT_CONFIGS = [
    triton.Config({"BLOCK_M": 128, "BLOCK_N": n}, num_warps=warps, num_stages=stages)
    for n, warps, stages in ((128, 8, 2), (256, 8, 3), (256, 8, 4), (128, 4, 4))
]


@triton.autotune(configs=_PRODUCT_CONFIGS, key=["rows", "columns", "width"])
@triton.jit
def _product(
    x_ptr, weight_ptr, out_ptr, rows, columns, width,
    EVEN: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out = x Wᵀ; eight blocks of rows share a block of W in L2."""
    across = tl.cdiv(columns, BLOCK_N) * 8
    band, within = tl.program_id(0) // across * 8, tl.program_id(0) % across
    height = tl.minimum(tl.cdiv(rows, BLOCK_M) - band, 8)
    m = (band + within % height) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = within // height * BLOCK_N + tl.arange(0, BLOCK_N)
    x_row = x_ptr + tl.minimum(m, rows - 1).to(tl.int64)[:, None] * width
    w_row = weight_ptr + tl.minimum(n, columns - 1).to(tl.int64)[:, None] * width
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, width, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)[None, :]
        inside = EVEN or k < width
        w = tl.load(w_row + k, mask=inside, other=0.0)
        acc = tl.dot(tl.load(x_row + k, mask=inside, other=0.0), tl.trans(w), acc)
    out = out_ptr + m[:, None].to(tl.int64) * columns + n[None, :]
    tl.store(out, acc.to(out_ptr.dtype.element_ty), mask=(m[:, None] < rows) & (n[None, :] < columns))


def _splits(tiles, wanted):
    """(tiles a split, splits): an even number of tiles each, about `wanted` splits, as little padding as possible."""
    choices = [triton.cdiv(tiles, 2 * splits) * 2 for splits in range(wanted, (wanted - 1) // 2, -1)]
    each = min(choices, key=lambda each: triton.cdiv(tiles, each) * each)
    return each, triton.cdiv(tiles, each)


def _few_rows(x, planes, scale, zero, book, y, kind, exponent):
    """Split-K with the weights unpacked in registers; three launches."""
    (rows, width), (bits, columns, words), groups = x.shape, planes.shape, scale.shape[1]
    block_m, tiles = max(16, min(32, triton.next_power_of_2(rows))), triton.cdiv(words, 4)
    blocks = triton.cdiv(rows, block_m)
    programs = triton.cdiv(columns, 64) * blocks
    enough = max(triton.cdiv(PROGRAMS, 3 * programs), bits * words // (32 * rows))  # more would cost too much to add up
    tiles_each, splits = _splits(tiles, max(1, min(PROGRAMS // programs, enough, tiles // 4)))
    tiles = splits * tiles_each
    permuted = torch.empty((blocks, tiles, block_m, TILE.value), dtype=x.dtype, device=x.device)
    sums = torch.empty((blocks, tiles, block_m), dtype=torch.float32, device=x.device)
    parts = y if splits == 1 else torch.empty((splits, rows, columns), dtype=torch.float32, device=x.device)
    _prepare[(tiles, blocks)](x, permuted, sums, rows, width, tiles, BLOCK_M=block_m, num_warps=4)
    _split_product[lambda meta: (triton.cdiv(columns, meta["BLOCK_N"]) * blocks, splits)](
        permuted, sums, planes, scale, zero, book, parts,
        rows, columns, columns * words, words, groups, blocks, tiles, tiles_each, ONES, TWOS, FOURS, exponent,
        BITS=bits, WORDS_EACH=words // groups, KIND=kind, EXACT=tiles * 4 == words, BLOCK_M=block_m,
    )  # fmt: skip
    if splits > 1:
        _add_splits[(triton.cdiv(y.numel(), 512),)](parts, y, y.numel(), splits, BLOCK=512, num_warps=4)


def _many_rows(x, planes, scale, zero, book, y, kind, exponent):
    """Dequantise once, then a matmul."""
    (rows, width), (bits, columns, words), groups = x.shape, planes.shape, scale.shape[1]
    block_k, weight = 128 // x.element_size(), torch.empty((columns, width), dtype=x.dtype, device=x.device)
    _dequantise[(triton.cdiv(columns, 4), triton.cdiv(words, 32))](
        planes, scale, zero, book, weight, columns, columns * words, words, groups, ONES, TWOS, FOURS, exponent,
        BITS=bits, WORDS_EACH=words // groups, KIND=kind, BLOCK_N=4, BLOCK_W=32, num_warps=4,
    )  # fmt: skip
    _product[lambda meta: (triton.cdiv(rows, meta["BLOCK_M"]) * triton.cdiv(columns, meta["BLOCK_N"]),)](
        x, weight, y, rows, columns, width, EVEN=width % block_k == 0, BLOCK_K=block_k
    )


def tilus_wna16_gemm(x, planes, scale, zero, lut=None):
    """x [M, K], planes int32 [b, N, K/32], scale and zero [N, K/g], lut fp32 [2^b] or None → y [M, N] as x."""
    x, planes, scale, zero = x.contiguous(), planes.contiguous(), scale.contiguous(), zero.contiguous()
    y = torch.empty((x.shape[0], planes.shape[1]), dtype=x.dtype, device=x.device)
    if y.numel() == 0:
        return y
    bits, groups = planes.shape[0], scale.shape[1]
    is_bf16, whole_tiles = x.dtype == torch.bfloat16 and bits < 8, planes.shape[2] // groups % 4 == 0 or groups == 1
    book, kind, exponent = scale, SCALED.value, 0x3F803F80 if is_bf16 else 0x3C003C00
    if lut is not None:
        book, kind, exponent = lut.contiguous(), LOOK_UP.value, 0
    elif x.shape[0] <= FEW_ROWS and whole_tiles and (is_bf16 or x.dtype == torch.float16):
        kind = RAW.value
    (_few_rows if x.shape[0] <= FEW_ROWS else _many_rows)(x, planes, scale, zero, book, y, kind, exponent)
    return y
