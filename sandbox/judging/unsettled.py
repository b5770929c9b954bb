"""Weights that every fresh model has alike are changed, so that nobody can leave them out. Runs in the judge."""

import torch
from torch.nn.modules.batchnorm import _NormBase

from sandbox.judging.draw import Draw

UNSETTLED = 0.25
"""Size of the change to such weights, as a share of them; small ones change as if they were as large."""


def alike(one: torch.nn.Module, other: torch.nn.Module) -> set[str]:
    """Names of weights that two fresh models have alike: the ones and zeros of a normalisation, an identity."""
    theirs = dict(other.named_parameters())
    return {name for name, weight in one.named_parameters() if torch.equal(weight.detach(), theirs[name].detach())}


def unsettle(model: torch.nn.Module, draw: Draw, known: set[str]) -> None:
    """Weights that every fresh model has alike, the `known`, become others, near by: who leaves them out computes
    something else for every trained model. A single number is often an argument of the constructor, which a candidate
    may keep as such. Statistics likewise, where a normalisation only uses them.
    """
    used = [module for module in model.modules() if isinstance(module, _NormBase) and not module.training]
    pairs = [(norm.running_mean, False) for norm in used] + [(norm.running_var, True) for norm in used]
    statistics = [(found, positive) for found, positive in pairs if found is not None and is_constant(found)]
    learned = [(weight, False) for name, weight in model.named_parameters() if name in known and weight.requires_grad]
    for weight, positive in [*learned, *statistics]:
        values = weight.detach()
        if values.is_floating_point() and values.numel() > 1:
            noise = UNSETTLED * torch.randn(values.shape, generator=draw.generator, device=draw.device)
            values.add_((noise * values.abs().clamp_min(UNSETTLED)).to(values.dtype))
            if positive:
                values.abs_()


def is_constant(values: torch.Tensor) -> bool:
    """Of a single number nobody can tell whether it was drawn."""
    return bool(values.is_floating_point() and values.numel() > 1 and (values == values.max()).all())
