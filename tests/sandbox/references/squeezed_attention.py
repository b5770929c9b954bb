"""Query by query: the block's importances by logsumexp, then attention over the selected rows only."""

import math

import torch


def independent(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cent: torch.Tensor, label: torch.Tensor, cnt: torch.Tensor,
    thr: torch.Tensor, block: int,
) -> torch.Tensor:  # fmt: skip
    heads, m, d = q.shape
    t, out = label.shape[1], torch.empty_like(q)
    for head in range(heads):
        scores = torch.einsum("md,cd->mc", q[head], cent[head]) / math.sqrt(d)
        each_key = scores - torch.logsumexp(scores + cnt[head].double().log(), 1, keepdim=True)
        for row in range(m):
            first = row // block * block
            estimate = each_key[first : first + block].exp().mean(0)
            chosen = [i for i in range(t) if estimate[int(label[head, i])] > thr[0]]
            chosen += range(t, k.shape[1] - m + row + 1)
            weight = torch.softmax(k[head, chosen] @ q[head, row] / math.sqrt(d), 0)
            out[head, row] = weight @ v[head, chosen]
    return out


def dtypes(q: torch.Tensor, *rest: object) -> list[torch.dtype]:
    return [q.dtype]
