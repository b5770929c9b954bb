"""RMSNorm by torch's own function."""

import torch
import torch.nn.functional as F


def independent(x: torch.Tensor, w: torch.Tensor, eps: float) -> torch.Tensor:
    return F.rms_norm(x, (x.shape[-1],), w, eps)


def dtypes(x: torch.Tensor, w: torch.Tensor, eps: float) -> list[torch.dtype]:
    return [x.dtype]
