"""NumPy unpacks the planes, and each group of K is a product of its own, scaled afterwards."""

import numpy as np
import torch


def independent(
    x: torch.Tensor, planes: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, lut: torch.Tensor | None = None
) -> torch.Tensor:
    as_bytes = np.ascontiguousarray(planes.numpy()).view(np.uint8)
    bits = torch.from_numpy(np.unpackbits(as_bytes, axis=-1, bitorder="little").astype(np.int64))
    codes = sum(bits[p] * 2**p for p in range(len(bits)))
    assert isinstance(codes, torch.Tensor)
    values = codes.double() if lut is None else lut[codes]
    size = x.shape[1] // scale.shape[1]
    y = torch.zeros(len(x), len(values), dtype=torch.float64)
    for group, (a, v) in enumerate(zip(torch.split(x, size, 1), torch.split(values, size, 1), strict=True)):
        y += scale[:, group] * (a @ v.T - a.sum(1, keepdim=True) * zero[:, group])
    return y


def dtypes(x: torch.Tensor, *rest: torch.Tensor) -> list[torch.dtype]:
    return [x.dtype]
