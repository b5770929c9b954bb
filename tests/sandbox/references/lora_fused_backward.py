"""Autograd through the layer."""

import torch


def independent(
    dy: torch.Tensor,
    x: torch.Tensor,
    W: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    alpha: float,
    keep: torch.Tensor | None,
    p: float,
) -> tuple[torch.Tensor, ...]:
    leaves = [t.clone().requires_grad_() for t in (x, A, B)]
    x, A, B = leaves
    dropped = x if keep is None else torch.where(keep, x / (1 - p), 0.0)
    y = torch.einsum("mk,nk->mn", x, W) + alpha * torch.einsum("mk,rk,nr->mn", dropped, A, B)
    return torch.autograd.grad(y, leaves, dy)


def dtypes(dy: torch.Tensor, x: torch.Tensor, W: torch.Tensor, A: torch.Tensor, *rest: object) -> list[torch.dtype]:
    return [x.dtype, A.dtype, A.dtype]
