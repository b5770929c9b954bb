"""Whether strided views share bytes. Exact, where that takes no more than `MOST_STEPS` steps; else they are said to.
Whoever asks about many views has `MOST_STEPS_IN_ALL`.

Torch looks as well, but takes views that are not dense for separate ones, and copies them in order on a CPU.
"""

from collections.abc import Iterable, Sequence

from sandbox.plans.plan import DTYPES, View

MOST_STEPS = 10_000
MOST_STEPS_IN_ALL = 300_000
"""Half a second: each of a thousand copies may need the most."""
Axis = tuple[int, int]
"""Bytes from one element to the next, and how many there are."""


class Overlaps:
    """What there is to know of the views of one plan. Each question is answered once, and all within a budget."""

    def __init__(self) -> None:
        self.left = MOST_STEPS_IN_ALL
        self._known: dict[tuple[tuple[Axis, ...], int, int], bool] = {}

    def overlap(self, one: View, other: View) -> bool:
        """Whether two views of one buffer have a byte in common. Raises: as `_meets`."""
        sizes = DTYPES[one.dtype], DTYPES[other.dtype]
        if 0 in (*one.shape, *other.shape):
            return False
        backwards = _axes(other)
        # an element of the other from its last one on, so that all steps are forward
        first = one.offset * sizes[0] - other.offset * sizes[1] - sum(step * (count - 1) for step, count in backwards)
        return self._meets([*_axes(one), *backwards], -sizes[0] + 1 - first, sizes[1] - 1 - first)

    def overlaps_itself(self, view: View) -> bool:
        """Whether two elements of a view have a byte in common. Raises: as `_meets`."""
        size, axes = DTYPES[view.dtype], sorted(_axes(view), reverse=True)
        if 0 in view.shape:
            return False
        for number, (step, count) in enumerate(axes):  # the first axis along which the two differ
            rest = [(inner, 2 * many - 1) for inner, many in axes[number + 1 :]]
            first = step - sum(inner * (many - 1) for inner, many in axes[number + 1 :])
            if self._meets([(step, count - 1), *rest], -size + 1 - first, size - 1 - first):
                return True
        return False

    def _meets(self, axes: Iterable[Axis], low: int, high: int) -> bool:
        """Whether some sum of steps, fewer than its count along each axis, is from `low` to `high`.

        Raises:
            ValueError: so much has been asked that the budget is spent.
        """
        merged: dict[int, int] = {}
        for step, count in axes:
            merged[step] = merged.get(step, 1) + count - 1
        question = (tuple(sorted(merged.items(), reverse=True)), low, high)
        if question not in self._known:
            self._known[question], taken = _search(*question)
            self.left -= taken
            if self.left < 0:
                raise ValueError("it takes too long to tell which views overlap; copy tensors that are contiguous")
        return self._known[question]


def same_places(one: View, other: View) -> bool:
    """Whether each element of one lies where the other's does."""
    return (one.buffer, one.offset, one.shape, _axes(one)) == (other.buffer, other.offset, other.shape, _axes(other))


def _axes(view: View) -> list[Axis]:
    size = DTYPES[view.dtype]
    return [(stride * size, n) for stride, n in zip(view.strides, view.shape, strict=True) if n > 1]


def _search(ordered: Sequence[Axis], low: int, high: int) -> tuple[bool, int]:
    """As `Overlaps._meets`, for axes in descending order; and how many steps that took."""
    reach = _reaches(ordered)
    queue, taken = [(0, low, high)], 0
    while queue:
        number, low, high = queue.pop()
        if low <= 0 <= high:
            return True, taken
        if number == len(ordered) or high < 0:
            continue
        taken += 1
        if taken > MOST_STEPS:
            return True, taken
        (step, count), rest = ordered[number], reach[number + 1]
        if not step:
            queue.append((number + 1, low, high))
            continue
        least, most = max(0, -(-(low - rest) // step)), min(count - 1, high // step)
        if most - least > MOST_STEPS:
            return True, taken
        queue += [(number + 1, low - step * times, high - step * times) for times in range(least, most + 1)]
    return False, taken


def _reaches(axes: Sequence[Axis]) -> list[int]:
    """The largest sum of the steps from each axis on."""
    found = [0]
    for step, count in reversed(axes):
        found.append(found[-1] + step * (count - 1))
    return found[::-1]
