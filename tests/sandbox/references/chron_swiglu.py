"""SwiGLU with the sigmoid written out."""

import torch


def independent(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return gate * up / (1 + torch.exp(-gate))


def dtypes(gate: torch.Tensor, up: torch.Tensor) -> list[torch.dtype]:
    return [gate.dtype]
