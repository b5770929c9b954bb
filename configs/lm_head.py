"""A language-model head for training on a CPU, in place of TRL's fused one; same numbers, several times less work.

Differs from TRL 1.16's (`trl.trainer.utils.add_fused_lm_head`): without a GPU, TRL projects every position onto the
vocabulary and folds the logits in a dozen passes. Here only positions with a label are projected, in one pass forward
and one backward, at the price of holding their logits. With a vocabulary of 49 152 that is most of a step's time.
"""

import types
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput


def use_cpu_head(model: PreTrainedModel, temperature: float = 1.0) -> None:
    """Answer TRL's calls `model(..., labels=labels, fused_lm_head=True)` here; all other calls go where they went.

    Call it after the trainer was built (TRL patches `forward` there) and before it trains (accelerate wraps it then).
    Dense models only: a mixture of experts needs the load-balancing loss of TRL's head.
    """
    trl_forward = model.forward

    def forward(self: PreTrainedModel, *args: Any, fused_lm_head: bool = False, **kwargs: Any) -> Any:
        if not fused_lm_head:
            return trl_forward(*args, **kwargs)
        labels = kwargs.pop("labels")[:, 1:]
        items = kwargs.pop("num_items_in_batch", None)
        hidden = self.base_model(*args, **(kwargs | {"use_cache": False})).last_hidden_state[:, :-1]
        return score(self.lm_head, hidden, labels, temperature, items)

    model.forward = types.MethodType(forward, model)


def score(
    head: torch.nn.Module, hidden: torch.Tensor, labels: torch.Tensor, temperature: float, items: int | None = None
) -> FusedCausalLMOutput:
    """Log-probability of each label, entropy of each distribution, and whether the label is the likeliest.

    Args:
        hidden: (batch, length, width) float.
        labels: (batch, length) int; -100 where nothing is scored.
        items: what the summed loss is divided by; the number of labels if None.

    Returns:
        TRL's output record; fields of shape (batch, length), zero where there is no label. Only `log_probs` and `loss`
        carry a gradient.
    """
    mask = labels != -100
    targets = labels[mask]
    logp = F.log_softmax(head(hidden[mask]).float() / temperature, dim=-1)
    log_probs = logp.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    with torch.no_grad():
        entropy = -(logp.exp() * logp).sum(-1)
        likeliest = (logp.argmax(-1) == targets).to(logp.dtype)

    def spread(values: torch.Tensor) -> torch.Tensor:
        # masked_scatter keeps the graph connected where no position has a label, so that backward() still works.
        return values.new_zeros(mask.shape).masked_scatter(mask, values)

    return FusedCausalLMOutput(
        loss=-log_probs.sum() / (mask.sum().clamp(min=1) if items is None else items),
        log_probs=spread(log_probs),
        entropy=spread(entropy),
        is_top1=spread(likeliest),
        label_mask=mask,
    )
