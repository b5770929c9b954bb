"""Every file of `tests/honest` passes: what the sandbox costs an honest author is counted here."""

import pytest

from sandbox.bench import corpus
from sandbox.local import LocalSandbox
from sandbox.types import Limits, Passed

HONEST = corpus.candidates(corpus.HONEST)


@pytest.mark.parametrize("candidate", HONEST, ids=lambda candidate: candidate.path.stem)
def test_honest_candidate_passes(sandbox: LocalSandbox, candidate: corpus.Candidate) -> None:
    verdict = sandbox.judge(corpus.job(candidate, Limits()))
    assert isinstance(verdict, Passed), f"{candidate.family}\n{verdict}"
    assert all(case.limit_share <= 1 for case in verdict.cases)
    assert any(case.launches >= 1 for case in verdict.cases)  # a case of empty inputs needs none
