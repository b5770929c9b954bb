"""KernelBench's protocol where it can time: both baselines in the same run, kept for the next candidate."""

from pathlib import Path

import kernelbench_small as small
import pytest

from eval.benchmarks.kernelbench.upstream import BASELINES, Protocol, UpstreamVerdict, judge
from eval.kernelbench import CANDIDATES

pytestmark = pytest.mark.gpu


def test_a_candidate_is_timed_beside_both_baselines(tmp_path: Path) -> None:
    problem = small.SMALL[1, 88]._replace(inputs="torch.rand(4096, 8192)")
    code = (CANDIDATES / small.file((1, 88))).read_text()
    first, again = (judge(small.source(problem), code, Protocol(), tmp_path) for _ in range(2))
    assert isinstance(first, UpstreamVerdict) and first.correct and not first.reason and "landlock" in first.jail, first
    assert isinstance(again, UpstreamVerdict) and again.baselines == first.baselines
    assert set(again.speedups) == set(BASELINES) and not again.reason, again
    assert set(first.baselines) == set(first.speedups) == set(BASELINES)
    assert first.candidate is not None and first.candidate.samples == Protocol().runs
    assert 0.01 < first.candidate.mean_ms < 10  # 268 MB are moved
    assert first.speedups["eager"] == first.baselines["eager"].mean_ms / first.candidate.mean_ms
    wrong = judge(small.source(problem), code.replace("0.044715", "0.04"), Protocol(), tmp_path)
    assert isinstance(wrong, UpstreamVerdict) and not wrong.correct and wrong.candidate is None
