"""Cross-entropy from logits: `loss[n] = logsumexp(logits[n]) - logits[n, target[n]]` (AutoKernel, `ak9_cross_entropy`).

The loss of every row is returned, not the mean: the mean over thousands of rows hardly depends on any of them, so it
would let a kernel that skips rows pass. Rows whose target is -100 (PyTorch's ignore_index) have loss 0.
"""

import torch
import torch.nn.functional as F

FAMILY = "loss"
TOLERANCE = "T32"
DESCRIPTION = (
    "Cross-entropy of every row, reduction='none': logsumexp(logits[n]) - logits[n, target[n]] in fp32 for logits "
    "[rows, vocab] and int64 target [rows]; rows whose target is -100 have loss 0. The result is fp32 [rows]."
)
CASES = (
    {"name": "tiny", "tier": "cpu", "args": {"rows": 8, "vocab": 512, "dtype": "float32"}},
    {
        "name": "tiny_bf16",
        "tier": "cpu",
        "args": {"rows": 6, "vocab": 4096, "dtype": "bfloat16"},
        "distribution": "large",
    },
    {
        "name": "tiny_ragged",
        "tier": "cpu",
        "args": {"rows": 11, "vocab": 1003, "dtype": "bfloat16"},
        "distribution": "heavy_tailed",
    },
    {"name": "tiny_long", "tier": "cpu", "args": {"rows": 3, "vocab": 50257, "dtype": "bfloat16"}},
    {
        "name": "tiny_hidden",
        "tier": "cpu",
        "args": {"rows": 7, "vocab": 30011, "dtype": "float16"},
        "distribution": "structured",
        "hidden": True,
    },
    {
        "name": "tiny_hidden_narrow",
        "tier": "cpu",
        "args": {"rows": 33, "vocab": 3, "dtype": "float32"},
        "distribution": "heavy_tailed",
        "hidden": True,
    },
    {"name": "s", "tier": "gpu", "timed": True, "args": {"rows": 1024, "vocab": 32000, "dtype": "bfloat16"}},
    {"name": "t", "tier": "gpu", "timed": True, "args": {"rows": 8192, "vocab": 128256, "dtype": "bfloat16"}},
    {"name": "r", "tier": "gpu", "timed": True, "args": {"rows": 1001, "vocab": 50257, "dtype": "bfloat16"}},
)
HEADLINES = (
    {"claim": "cross-entropy 2.21x over eager", "case": "t", "against": "eager", "measure": "time", "ratio": 2.21},
    {
        "claim": "cross-entropy 2.94x over compiled",
        "case": "t",
        "against": "max-autotune",
        "measure": "time",
        "ratio": 2.94,
    },
)


def make_inputs(case, draw):
    """logits [rows, vocab], target [rows] int64 with about 10 % of the rows ignored."""
    rows, vocab = case["rows"], case["vocab"]
    target = draw.integers(rows, low=0, high=vocab)
    target[draw.booleans(rows, probability=0.1)] = -100
    target[rows // 2] = -100
    return draw.normal(rows, vocab, dtype=case["dtype"]), target


def ak9_cross_entropy(logits, target):
    """logits [rows, vocab], target [rows] int64 → loss [rows] fp32."""
    logits32 = logits.float()
    chosen = logits32.gather(1, target.clamp_min(0)[:, None])[:, 0]
    return torch.where(target != -100, torch.logsumexp(logits32, dim=-1) - chosen, 0.0)


def eager(logits, target):
    """As language-model code writes it: logits upcast first. In bf16 torch would round every log-probability."""
    return F.cross_entropy(logits.float(), target, reduction="none")


def cost(case):
    """Logits of the nine rows in ten that are not ignored are read once; no matrix product."""
    item = 4 if case["dtype"] == "float32" else 2
    return {"bytes": case["rows"] * (9 * item * case["vocab"] // 10 + 12), "flops": 0}
