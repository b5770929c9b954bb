"""Rotation as multiplication of complex numbers: a pair (a, b) is a + ib, and its angle's is cos + i sin."""

import torch


def independent(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    turn = torch.complex(cos, sin)

    def rotated(x: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        y = torch.einsum("bshi,si->bshi", torch.complex(x[..., :half], x[..., half:]), turn)
        return torch.view_as_real(y).transpose(-1, -2).flatten(-2)

    return rotated(q), rotated(k)


def dtypes(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> list[torch.dtype]:
    return [q.dtype, k.dtype]
