"""The real sandbox passes the template compiler's solutions, of each family and in many styles, and refuses them once
damaged. Interpreted, and one of each family compiled for a GPU.
"""

import asyncio

from data_pipeline.prompt import render_answer
from data_pipeline.quality import examine
from data_pipeline.synthetic import FAMILIES, propose
from data_pipeline.verify import Judging, verify
from sandbox.local import LocalSandbox
from sandbox.types import Passed, Rejected

RICH = 1200


def test_solutions_pass_and_damaged_ones_do_not(sandbox: LocalSandbox) -> None:
    plain = list(propose(6, 0, dict.fromkeys(FAMILIES[6:], 0)))
    rich = list(propose(3 * len(FAMILIES), 0, max_pieces=RICH))
    assert {task.family for task, _ in rich} == set(FAMILIES)
    pairs = [pair for pair in plain + rich if examine(pair[0]) is None]
    assert len(pairs) >= len(plain + rich) - 2

    async def judge() -> list[object]:
        right = [verify(task, render_answer(code), sandbox, Judging()) for task, code in pairs]
        damaged = [code.replace("tl.store(", "tl.store(1 + ", 1) for _, code in pairs[:2]]
        wrong = [verify(pairs[i][0], render_answer(code), sandbox, Judging()) for i, code in enumerate(damaged)]
        return list(await asyncio.gather(*right, *wrong))

    verdicts = asyncio.run(judge())
    for (task, code), verdict in zip(pairs, verdicts, strict=False):
        assert isinstance(verdict, Passed), (verdict, task.reference, code)
    assert all(isinstance(verdict, Rejected) and verdict.stage in ("launch", "numerics") for verdict in verdicts[-2:])


def test_every_family_compiles_for_a_gpu(sandbox: LocalSandbox) -> None:
    pairs = list(propose(len(FAMILIES), 1, max_pieces=RICH))

    async def judge() -> list[object]:
        judging = Judging(targets=("sm_90",))
        return list(await asyncio.gather(*(verify(t, render_answer(c), sandbox, judging) for t, c in pairs)))

    for (task, code), verdict in zip(pairs, asyncio.run(judge()), strict=True):
        assert isinstance(verdict, Passed) and verdict.static, (verdict, task.reference, code)
        assert all(kernel.spills == 0 for kernel in verdict.static)
