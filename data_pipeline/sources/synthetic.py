"""Synthetic programs (`data_pipeline.synthetic`), of each held-out family as many as evaluation needs and no more."""

import math
from collections.abc import Iterator

from configs.schema import DataConfig
from data_pipeline.synthetic import FAMILIES, propose
from data_pipeline.task import Task

SPARE_HELDOUT = 1.25
"""Held-out families are proposed with this surplus, because some proposals are refused."""


def synthetic(data: DataConfig) -> Iterator[tuple[Task, str]]:
    """`data.synthetic_tasks` programs with solutions."""
    wanted = math.ceil(data.heldout_tasks * SPARE_HELDOUT) + 1
    others = set(FAMILIES) - set(data.synthetic_families or FAMILIES)
    limits = dict.fromkeys(data.heldout_families, wanted) | dict.fromkeys(others, 0)
    return propose(data.synthetic_tasks, data.seed, limits, data.max_solution_pieces, data.operators)
