"""Sampling on a CPU from a bfloat16 copy of the policy, as a GPU host samples from vLLM's copy.

Under autocast every decoded token casts the whole key-value cache again; a copy that is bfloat16 throughout does not.
"""

import copy
from typing import Any

import torch
from transformers import PreTrainedModel


def sample_in_bfloat16(model: PreTrainedModel) -> None:
    """Let `model.generate` sample from a copy whose weights are brought up to date at each call.

    The copy rounds as training under autocast does, only in more places; TRL treats its samples as the policy's own.
    """
    sampler: Any = copy.deepcopy(model).to(torch.bfloat16).eval()  # type: ignore[arg-type]  # its decorator hides Module.to

    @torch.no_grad()
    def generate(*args: Any, **kwargs: Any) -> Any:
        for copied, parameter in zip(sampler.parameters(), model.parameters(), strict=True):
            copied.copy_(parameter)
        return sampler.generate(*args, **kwargs)

    model.__dict__["generate"] = generate  # an attribute of this one object: mypy takes module attributes for tensors
