"""Weights that every fresh model has alike are changed, so that nobody can leave them out. Runs in the judge."""

import torch
from torch.nn.modules.batchnorm import _NormBase

from sandbox.draw import Draw

UNSETTLED = 0.25
"""Size of the change to weights that are constant, as a share of them; zeros change as if they were as large."""


def unsettle(model: torch.nn.Module, draw: Draw) -> None:
    """Weights that every fresh model has alike (the ones and zeros of a normalisation) become others, near by: who
    leaves them out computes something else for every trained model. A single number is often an argument of the
    constructor, which a candidate may keep as such. Statistics likewise, where a normalisation only uses them.
    """
    used = [module for module in model.modules() if isinstance(module, _NormBase) and not module.training]
    statistics = [
        (found, found is norm.running_var) for norm in used for found in (norm.running_mean, norm.running_var)
    ]
    learned = [(weight, False) for weight in model.parameters() if weight.requires_grad]
    for weight, positive in [*learned, *statistics]:
        if weight is not None and is_constant(weight.detach()):
            values = weight.detach()
            noise = UNSETTLED * torch.randn(values.shape, generator=draw.generator, device=draw.device)
            values.add_((noise * values.abs().clamp_min(UNSETTLED)).to(values.dtype))
            if positive:
                values.abs_()


def is_constant(values: torch.Tensor) -> bool:
    """Of a single number nobody can tell whether it was drawn."""
    return bool(values.is_floating_point() and values.numel() > 1 and (values == values.max()).all())
