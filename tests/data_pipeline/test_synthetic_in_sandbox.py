"""The real sandbox passes the template compiler's solutions, one of each family, and refuses them once damaged."""

import asyncio

from data_pipeline.prompt import render_answer
from data_pipeline.synthetic import FAMILIES, propose
from data_pipeline.verify import Judging, verify
from sandbox.local import LocalSandbox
from sandbox.types import Passed, Rejected


def test_solutions_pass_and_damaged_ones_do_not() -> None:
    pairs = list(propose(len(FAMILIES), seed=0))
    assert {task.family for task, _ in pairs} == set(FAMILIES)

    async def judge() -> list[object]:
        async with LocalSandbox(workers=2) as sandbox:
            right = [verify(task, render_answer(code), sandbox, Judging()) for task, code in pairs]
            damaged = [code.replace("tl.store(", "tl.store(1 + ", 1) for _, code in pairs[:2]]
            wrong = [verify(pairs[i][0], render_answer(code), sandbox, Judging()) for i, code in enumerate(damaged)]
            return list(await asyncio.gather(*right, *wrong))

    verdicts = asyncio.run(judge())
    assert all(isinstance(verdict, Passed) for verdict in verdicts[:-2]), verdicts
    assert all(isinstance(verdict, Rejected) and verdict.stage in ("launch", "numerics") for verdict in verdicts[-2:])
