"""How many sets of inputs a timed exam rotates over: more than the L2 cache holds, within memory and patience.

No call may find its data in the cache that the call before has filled. Large cases need no second set for that, and
what is right for each costs a float64 run of the definition.
"""

import time

import torch

from sandbox.judging.reference import Reference
from sandbox.types import Case

MIN_SETS, MAX_SETS = 4, 64
L2_SHARE = 3
"""Rotating sets together are at least this many times as large as the L2 cache, where `MAX_SETS` allows."""
BASELINE_MS = 1.0
"""Sets are fewer where one pass of the reference over all of them would take longer than this."""
SLOW_SECONDS = 0.01
"""A definition that takes longer has one set, if that is larger than the cache."""
KEPT_OUTPUTS = 10
"""Copies of a set's outputs that judge and replayer hold at a time: honest and exact ones, checked bits, baselines'."""
MEMORY_SHARE = 2
"""All sets of an exam take at most one part in so many of the GPU's memory, where one set does not take more."""


def wanted(reference: Reference, case: Case, nbytes: int, l2_bytes: int) -> int:
    """Sets of a case on the present device.

    Args:
        nbytes: of all buffers of one set.
        l2_bytes: of the device's L2 cache.
    """
    for_cache = -(-L2_SHARE * l2_bytes // max(1, nbytes))
    one = reference.draw(case)
    for _ in range(2):  # the first call may load and choose kernels
        torch.cuda.synchronize()
        started = time.perf_counter()
        reference.run(one, double=False)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    if seconds > SLOW_SECONDS and for_cache == 1:
        return 1
    return max(MIN_SETS, min(MAX_SETS, for_cache, int(BASELINE_MS / (1e3 * seconds))))


def affordable(sets: int, decoys: int, nbytes: int, own: int, arena_bytes: int, memory: int) -> tuple[int, int]:
    """How many of the sets and decoys of an exam there is memory for; at least one set.

    Args:
        nbytes: of one block in the arena, of which a copy is kept.
        own: bytes of the buffers in it that are no inputs.
        arena_bytes: the most that the arena may take.
        memory: of the GPU, bytes.
    """
    most, block, room = memory // MEMORY_SHARE, 2 * nbytes, arena_bytes // nbytes
    each = block + KEPT_OUTPUTS * own
    sets = max(1, min(sets, room - decoys, most // each))
    return sets, max(0, min(decoys, room - sets, (most - sets * each) // block))
