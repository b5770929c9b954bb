"""Norms of the adapted weight, formed."""

import torch


def independent(w: torch.Tensor, a: torch.Tensor, b: torch.Tensor, s: float) -> torch.Tensor:
    norms: torch.Tensor = torch.linalg.norm(torch.addmm(w, b, a, alpha=s), dim=1)
    return norms


def dtypes(w: torch.Tensor, a: torch.Tensor, b: torch.Tensor, s: float) -> list[torch.dtype]:
    return [torch.float32]
