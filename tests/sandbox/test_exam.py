"""Several sets of inputs in one arena: what is checked, what is restored, what a repetition must show."""

import pytest
import torch

from sandbox.judging.exam import MIXED_BYTES, Exam, ask, telling
from sandbox.judging.reference import Reference
from sandbox.plans import arena
from sandbox.plans.plan import Buffer, View
from sandbox.plans.unset import GREAT, POISON
from sandbox.types import TOLERANCES, Case

SOURCE = """
def make_inputs(case, draw):
    return (draw.normal(case["n"]),)

def double(x):
    return x * 2
"""
IN_PLACE = """
def make_inputs(case, draw):
    return (draw.normal(case["n"]),)

def double(x):
    tripled = x * 3
    return tripled, x.mul_(2)
"""
N, SETS = 100, 3
VIEW = View(buffer=1, dtype="float32", shape=[N], strides=[1], offset=0)
TOLERANCE = TOLERANCES["T32"]


@pytest.fixture
def exam() -> Exam:
    return an_exam(SOURCE)


def an_exam(source: str, n: int = N, unit: int = 1) -> Exam:
    reference = Reference(source, "double")
    drawn = [reference.draw(Case(name="one", args={"n": n})) for _ in range(SETS)]
    buffers = [Buffer(nbytes=4 * n, input=0), Buffer(nbytes=4 * n)]
    where = arena.layout([b.nbytes for b in buffers], spread=8)
    memory = torch.empty((SETS + 1) * where.nbytes + 100, dtype=torch.uint8)
    return Exam(ask(reference, drawn), buffers, where, memory, decoys=1, unit=unit)


def solve(exam: Exam, factor: float = 2.0) -> None:
    for number, one in enumerate(exam.drawn):
        exam.output(VIEW, number).copy_(exam.tensor(number, 0, one.tensors[0]) * factor)


def test_sets_are_independent_draws(exam: Exam) -> None:
    first, second = (exam.tensor(number, 0, exam.drawn[number].tensors[0]) for number in range(2))
    assert not torch.equal(first, second)


def test_right_on_all_sets(exam: Exam) -> None:
    solve(exam)
    assert exam.check([VIEW], "tensor", TOLERANCE)["limit_share"] <= 1


def test_one_wrong_set_is_enough(exam: Exam) -> None:
    solve(exam)
    exam.output(VIEW, 2)[7] += 1
    assert exam.check([VIEW], "tensor", TOLERANCE)["rejected"]["stage"] == "numerics"


def test_unwritten_output_is_wrong(exam: Exam) -> None:
    assert exam.check([VIEW], "tensor", TOLERANCE)["rejected"]["stage"] == "numerics"


def test_no_constant_can_be_counted_on_in_unwritten_memory(exam: Exam) -> None:
    slot = exam.where.slots[1]
    for block in exam.blocks:
        halves = block[slot.offset : slot.offset + slot.nbytes].view(2, -1)
        assert {bool((half == POISON).all()) for half in halves} == {True, False}
    front = exam.blocks[:, slot.offset : slot.offset + slot.nbytes // 2]
    assert {bool((part == POISON).all()) for part in front} == {True, False}


def test_no_maximum_drops_all_of_unwritten_memory(exam: Exam) -> None:
    slot = exam.where.slots[1]
    found = exam.blocks[:, slot.offset : slot.offset + slot.nbytes].unflatten(1, (-1, MIXED_BYTES))
    alike = {int(piece[0]) for piece in found.flatten(0, 1) if (piece == piece[0]).all()}
    assert alike == {POISON, *GREAT}


def test_a_write_into_another_block_is_seen(exam: Exam) -> None:
    """Whoever computes all blocks in one launch cannot know which of them is a decoy."""
    solve(exam)
    exam.check([VIEW], "tensor", TOLERANCE)
    exam.blocks[exam.decoys[0], exam.where.slots[1].offset] ^= 1
    assert "outside" in exam.check_again([VIEW], TOLERANCE)["rejected"]["reason"]


def test_scratch_of_another_block_is_no_place_to_leave_results(exam: Exam) -> None:
    solve(exam)
    exam.check([VIEW], "tensor", TOLERANCE)
    exam.restore()
    solve(exam)
    exam.blocks[exam.decoys[0], exam.where.slots[0].offset] ^= 1  # no output, and everybody's outputs are right
    assert "outside" in exam.check_again([VIEW], TOLERANCE)["rejected"]["reason"]


def test_a_write_behind_the_blocks_is_seen_and_undone(exam: Exam) -> None:
    solve(exam)
    exam.memory[-1] ^= 1
    assert "outside" in exam.check([VIEW], "tensor", TOLERANCE)["rejected"]["reason"]
    exam.restore()
    solve(exam)
    assert "rejected" not in exam.check([VIEW], "tensor", TOLERANCE)


def test_changed_input_is_tampering(exam: Exam) -> None:
    solve(exam)
    exam.tensor(1, 0, exam.drawn[1].tensors[0])[0] += 1
    assert exam.check([VIEW], "tensor", TOLERANCE)["rejected"]["stage"] == "tamper"


@pytest.mark.parametrize("honest", [True, False])
def test_the_output_that_is_an_input_of_the_references_is_that_input(honest: bool) -> None:
    """Two outputs of one shape: the other one, too, could lie in the input's memory."""
    reference = Reference(IN_PLACE, "double")
    drawn = reference.draw(Case(name="one", args={"n": N}))
    buffers = [Buffer(nbytes=4 * N, input=0), Buffer(nbytes=4 * N)]
    where = arena.layout([b.nbytes for b in buffers])
    memory = torch.empty(where.nbytes, dtype=torch.uint8)
    exam = Exam(ask(reference, [drawn], (0,)), buffers, where, memory, mutates=(0,))
    views = [VIEW, VIEW.model_copy(update={"buffer": 0})]
    for view, factor in zip(views if honest else reversed(views), (3, 2), strict=True):
        exam.output(view, 0).copy_(drawn.tensors[0] * factor)
    found = exam.check(views if honest else views[::-1], {"tuple": ["tensor", "tensor"]}, TOLERANCE)
    assert honest == ("rejected" not in found)
    assert honest or "as output 1" in found["rejected"]["reason"]


def test_a_write_between_buffers_is_seen(exam: Exam) -> None:
    solve(exam)
    exam.blocks[exam.order[1], exam.where.slots[1].offset - 1] ^= 1
    assert "outside" in exam.check([VIEW], "tensor", TOLERANCE)["rejected"]["reason"]


@pytest.mark.parametrize(
    ("unit", "behind", "stage"), [(1, 0, "launch"), (16, 0, None), (16, 11, None), (16, 12, "launch")]
)
def test_kernels_that_write_sixteen_bytes_at_a_time_may_end_so(unit: int, behind: int, stage: str | None) -> None:
    exam = an_exam(SOURCE, n=N + 1, unit=unit)  # 404 bytes: 12 are left of the last 16
    view = VIEW.model_copy(update={"shape": [N + 1]})
    for number, one in enumerate(exam.drawn):
        exam.output(view, number).copy_(exam.tensor(number, 0, one.tensors[0]) * 2)
    slot = exam.where.slots[1]
    exam.blocks[exam.order[0], slot.offset + slot.nbytes + behind] += 1
    found = exam.check([view], "tensor", TOLERANCE)
    assert found.get("rejected", {}).get("stage") == stage


def test_a_repetition_must_do_the_work_again(exam: Exam) -> None:
    solve(exam)
    exam.check([VIEW], "tensor", TOLERANCE)
    exam.restore()
    assert exam.check_again([VIEW], TOLERANCE)["rejected"]["stage"] == "numerics"
    solve(exam)
    assert "rejected" not in exam.check_again([VIEW], TOLERANCE)


def test_a_repetition_may_round_otherwise(exam: Exam) -> None:
    solve(exam)
    exam.check([VIEW], "tensor", TOLERANCE)
    exam.restore()
    solve(exam, 2.0 * (1 + 1e-7))
    assert "rejected" not in exam.check_again([VIEW], TOLERANCE)


def test_guard_bands_differ_from_draw_to_draw() -> None:
    layouts = {arena.layout([400, 400, 400], spread=64) for _ in range(8)}
    assert len(layouts) > 1


@pytest.mark.parametrize("output", ["x * 0", "(x > 9).sum() > 50", "x.new_full((4,), 7.0)"])
def test_a_draw_that_asks_for_no_work_tells_nothing(output: str) -> None:
    assert not an_exam(SOURCE.replace("x * 2", output)).tells()


def test_draws_that_tell_nothing_are_drawn_again() -> None:
    exams = [an_exam(SOURCE.replace("x * 2", f"x * {factor}")) for factor in (0, 0, 2, 0)]
    waiting = list(exams)
    assert telling(lambda: waiting.pop(0)) is exams[2]


def test_a_task_that_never_asks_for_work_is_put_all_the_same() -> None:
    assert not telling(lambda: an_exam(SOURCE.replace("x * 2", "x * 0"))).tells()
