"""The corpora are read by `sandbox.bench.corpus`; this keeps the short name for tests that use it."""

from sandbox.bench.corpus import EXPLOITS, HONEST, TASKS, Candidate, candidates, job, read_candidate

__all__ = ["EXPLOITS", "HONEST", "TASKS", "Candidate", "candidates", "job", "read_candidate"]
