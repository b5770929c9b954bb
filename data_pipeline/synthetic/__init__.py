"""Synthetic programs: random typed operator chains with a PyTorch reference and a Triton solution from one source.

`propose(count, seed)` yields (task, solution) pairs. They are proposals: only `data_pipeline.admit` makes them data.
"""

from data_pipeline.synthetic.propose import ENTRY_POINT, FAMILIES, propose

__all__ = ["ENTRY_POINT", "FAMILIES", "propose"]
