"""One dense product with the merged weight; what dropout removes or scales is a correction."""

import torch


def independent(
    x: torch.Tensor,
    W: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    alpha: float,
    keep: torch.Tensor | None,
    p: float,
) -> torch.Tensor:
    update = alpha * torch.einsum("nr,rk->nk", B, A)
    merged = torch.einsum("mk,nk->mn", x, W + update)
    if keep is None:
        return merged
    return merged + torch.einsum("mk,nk->mn", torch.where(keep, x * (p / (1 - p)), -x), update)


def dtypes(x: torch.Tensor, *rest: object) -> list[torch.dtype]:
    return [x.dtype]
