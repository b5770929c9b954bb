"""Autotune with pruned configs and an output that is reset to zero between trials.

family: autotune with pruning and reset_to_zero
task: row_sum
"""

import torch
import triton
import triton.language as tl

def prune(configs, named_args, **kwargs):
    return [config for config in configs if config.kwargs["BLOCK"] <= 128] or configs


@triton.autotune(
    configs=[triton.Config({"BLOCK": block}, num_warps=4) for block in (32, 64, 128, 1024)],
    key=["cols"],
    prune_configs_by={"early_config_prune": prune},
    reset_to_zero=["out_ptr"],
)
@triton.jit
def sum_kernel(x_ptr, out_ptr, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * cols + column, mask=column < cols, other=0.0)
    tl.atomic_add(out_ptr + row, tl.sum(x, axis=0))


def row_sum(x):
    rows, cols = x.shape
    out = torch.zeros(rows, device=x.device, dtype=x.dtype)
    grid = lambda meta: (rows, triton.cdiv(cols, meta["BLOCK"]))
    sum_kernel[grid](x, out, cols)
    return out
