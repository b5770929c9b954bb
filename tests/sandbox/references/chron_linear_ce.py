"""Cross-entropy of a linear layer by torch's own functions, and its gradients by autograd."""

import torch
import torch.nn.functional as F


def independent(
    hidden: torch.Tensor, weight: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    with torch.enable_grad():
        hidden, weight = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
        loss = F.cross_entropy(F.linear(hidden, weight), target, ignore_index=-100)
        d_hidden, d_weight = torch.autograd.grad(loss, (hidden, weight))
    return loss.detach(), d_hidden, d_weight


def dtypes(hidden: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> list[torch.dtype]:
    return [torch.float32, hidden.dtype, weight.dtype]
