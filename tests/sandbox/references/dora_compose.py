"""DoRA composition from the gain itself: y is the rescaled sum, delta what that adds to base."""

import torch


def independent(
    base: torch.Tensor, lora: torch.Tensor, mag: torch.Tensor, norm: torch.Tensor, s: float
) -> tuple[torch.Tensor, torch.Tensor]:
    y = (base + s * lora) * mag / norm
    return y, y - base


def dtypes(
    base: torch.Tensor, lora: torch.Tensor, mag: torch.Tensor, norm: torch.Tensor, s: float
) -> list[torch.dtype]:
    return [base.dtype, base.dtype]
