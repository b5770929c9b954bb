"""Whether pass@k of two evaluations differs, paired by task: before and after training, or one engine and another."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy.stats import binomtest

from eval.metrics import CONFIDENCE, TaskCount, bootstrap_mean, pass_at_k
from sandbox.types import Record


class Change(Record):
    """Mean paired change over tasks with its 95 % interval; values in [-1, 1]."""

    value: float
    low: float
    high: float
    tasks: int
    improved: int
    """Tasks with a higher pass@k than before."""
    worsened: int
    sign_test_p: float
    """Two-sided sign test over the tasks that changed: a bootstrap of a handful of tasks is too sure of itself."""

    @property
    def verdict(self) -> Literal["better", "worse", "unclear"]:
        """`better` or `worse` only where the sign test says so, and the interval too unless all tasks moved alike."""
        if self.sign_test_p >= 1 - CONFIDENCE:
            return "unclear"
        if self.improved == self.tasks or self.low > 0:
            return "better"
        return "worse" if self.worsened == self.tasks or self.high < 0 else "unclear"


def difference(before: Mapping[str, TaskCount], after: Mapping[str, TaskCount], k: int, seed: int = 0) -> Change | None:
    """Paired change of pass@k, after - before, over the tasks that both have with at least k judged samples.

    None where fewer than two tasks can be paired.
    """
    both = [
        (before[task], after[task])
        for task in sorted(before.keys() & after.keys())
        if min(before[task].judged, after[task].judged) >= k
    ]
    if len(both) < 2:
        return None
    values = [pass_at_k(b.judged, b.passed, k) - pass_at_k(a.judged, a.passed, k) for a, b in both]
    improved, worsened = sum(value > 0 for value in values), sum(value < 0 for value in values)
    if len(set(values)) == 1:
        # All alike: at most `other` of all tasks can behave differently, and then by anything between -1 and 1.
        other = 1.0 - ((1.0 - CONFIDENCE) / 2) ** (1 / len(values))
        low, high = values[0] - other * (values[0] + 1), values[0] + other * (1 - values[0])
    else:
        low, high = bootstrap_mean(values, seed)
    return Change(
        value=float(np.mean(values)),
        low=low,
        high=high,
        tasks=len(values),
        improved=improved,
        worsened=worsened,
        sign_test_p=float(binomtest(improved, improved + worsened).pvalue) if improved + worsened else 1.0,
    )
