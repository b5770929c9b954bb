"""Packs four bytes into a word that the same program loads whole; the next program's word lies beside it.

family: one memory in several widths
task: bias_relu
"""

import torch
import triton
import triton.language as tl


@triton.jit
def packing_kernel(x_ptr, bias_ptr, out_ptr, word_ptr, byte_ptr, done_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    mask = column < cols
    x = tl.load(x_ptr + row * cols + column, mask=mask, other=0.0) + tl.load(bias_ptr + column, mask=mask, other=0.0)
    part = tl.arange(0, 4)
    tl.store(byte_ptr + 4 * row + part, tl.full([4], 1, tl.int8) << part.to(tl.int8))
    tl.debug_barrier()
    word = tl.load(word_ptr + row)
    tl.store(out_ptr + row * cols + column, tl.where(word == 0x08040201, tl.maximum(x, 0.0), -1.0), mask=mask)
    tl.debug_barrier()
    if tl.atomic_add(done_ptr, 1) == tl.num_programs(0) - 1:
        for done in range(0, tl.num_programs(0)):
            tl.store(byte_ptr + 4 * done + 3, tl.load(word_ptr + done).to(tl.int8))


def bias_relu(x, bias):
    rows, cols = x.shape
    out = torch.empty_like(x)
    words = torch.zeros(rows, device=x.device, dtype=torch.int32)
    done = torch.zeros(1, device=x.device, dtype=torch.int32)
    block = triton.next_power_of_2(cols)
    packing_kernel[(rows,)](x, bias, out, words, words.view(torch.int8), done, cols, BLOCK=block)
    return out
