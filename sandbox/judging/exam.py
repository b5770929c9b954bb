"""One case as put before a candidate: independent sets of inputs in an arena, and what is right for each.

Everything that decides is computed before the candidate runs and kept in the judge's own memory. The arena's first
content is kept too, so that every run starts from the same bytes and every change can be seen.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from sandbox.judging.numerics import Comparison, compare
from sandbox.judging.reference import Drawn, Reference, leaves, structure
from sandbox.plans import arena
from sandbox.plans.plan import Buffer, View
from sandbox.plans.unset import GREAT, POISON
from sandbox.types import Tolerance

_secret = secrets.SystemRandom()
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
REDRAWS, REDRAW_SECONDS = 8, 5.0
MIXED_BYTES = 16
"""Of unset memory that is alike: noise, or a number of great size again and again."""
Verdict = dict[str, Any]
"""`{}` if all is well, else `{"rejected": {"stage": …, "reason": …}}`."""


class Expected(NamedTuple):
    """One output of one set, as `numerics.compare` wants it."""

    honest: torch.Tensor
    truth: torch.Tensor
    users: torch.Tensor | None


class Asked(NamedTuple):
    """Sets of inputs, and what is right for each."""

    drawn: list[Drawn]
    expected: list[list[Expected]]
    returned: dict[int, set[int]]
    """Which outputs are an input itself, by the input's position."""
    structure: Any

    def first(self, sets: int) -> "Asked":
        return self._replace(drawn=self.drawn[:sets], expected=self.expected[:sets])


def ask(reference: Reference, drawn: list[Drawn], mutates: tuple[int, ...] = ()) -> Asked:
    """Work out what is right. `mutates`: positions of tensor inputs that may change."""
    expected: list[list[Expected]] = []
    for one in drawn:
        own = one.copy()
        honest, truth = reference.run(own, double=False, keep=False), reference.run(one, double=True)
        returned = {source: _places(leaves(honest), own.tensors[source]) for source in mutates}
        users = reference.users(one)
        theirs = leaves(users) if users is not None else [None] * len(leaves(honest))
        expected.append([Expected(*x) for x in zip(leaves(honest), leaves(truth), theirs, strict=True)])
    return Asked(drawn, expected, returned, structure(honest))


class Exam:
    """Sets of inputs of one case in an arena, in blocks of equal layout and secret order."""

    def __init__(
        self, asked: Asked, buffers: list[Buffer], where: arena.Layout,
        memory: torch.Tensor, mutates: tuple[int, ...] = (), decoys: int = 0, unit: int = 1,
    ) -> None:  # fmt: skip
        """Args:
        asked: its inputs are copied into the arena.
        memory: all that is mapped, uint8 (n,), at least one block of `where.nbytes` a set and `decoys` more;
            overwritten entirely.
        mutates: as of `ask`.
        decoys: blocks beyond one a set; they look the same and must stay as they are.
        unit: what the candidate's kernels write at a time, in bytes, and so may write behind the end of a buffer.

        One half of each piece of scratch or output holds 0xFF (NaN in every float format), the other secret random
        bytes and numbers of great size of either sign, mixed, so that no constant can be counted on, nor that a minimum
        or maximum drops all of it; which is which, nobody knows, and blocks take turns.
        """
        self.drawn, self.expected, self.returned, self.structure = asked
        self.where, self.memory, self.unit = where, memory, unit
        self.inputs = {b.input: n for n, b in enumerate(buffers) if b.input is not None}
        self.kept = [n for source, n in self.inputs.items() if source not in mutates]
        self.changing = {n: source for source, n in self.inputs.items() if source in mutates}
        count = len(self.drawn) + decoys
        self.blocks = memory[: count * where.nbytes].view(count, where.nbytes)
        self.order = _secret.sample(range(count), len(self.drawn))
        self.decoys = sorted(set(range(count)) - set(self.order))
        noise = torch.Generator(memory.device).manual_seed(secrets.randbits(63))
        memory.random_(0, 256, generator=noise)
        for buffer in set(range(len(buffers))) - set(self.inputs.values()):
            slot = where.slots[buffer]
            self._mix_in_great_numbers(slot, noise)
            half, first = slot.nbytes // 2, secrets.randbelow(2)
            self.blocks[first::2, slot.offset : slot.offset + half] = POISON
            self.blocks[1 - first :: 2, slot.offset + slot.nbytes - half : slot.offset + slot.nbytes] = POISON
        self._fill()
        self.pristine = memory.clone()
        self.verified: list[torch.Tensor] = []

    def _mix_in_great_numbers(self, slot: arena.Slot, noise: torch.Generator) -> None:
        unit = min(MIXED_BYTES, max(1, slot.nbytes))
        count = slot.nbytes // unit
        pieces = self.blocks[:, slot.offset : slot.offset + count * unit].view(len(self.blocks), count, unit)
        chosen = torch.empty(*pieces.shape[:2], 1, dtype=torch.uint8, device=noise.device)
        chosen.random_(0, 1 + len(GREAT), generator=noise)
        for number, byte in enumerate(GREAT):
            pieces.masked_fill_(chosen == number, byte)

    def tells(self) -> bool:
        """Whether every output of the first set must be worked for: none is one value all over, or zero, which memory
        may hold before a kernel has done anything.
        """
        truths = [one.truth.flatten() for one in self.expected[0] if one.truth.numel()]
        return not any((t == t[0]).all() and (t.numel() > 1 or t[0] == 0) for t in truths)

    def _fill(self) -> None:
        for number, block in enumerate([*self.order, *self.decoys]):
            for source, tensor in enumerate(self.drawn[number % len(self.drawn)].tensors):
                if source in self.inputs:
                    self._tensor(block, source, tensor).copy_(tensor)

    def tensor(self, number: int, source: int, like: torch.Tensor) -> torch.Tensor:
        """Input tensor `source` of set `number`, in the arena."""
        return self._tensor(self.order[number], source, like)

    def _tensor(self, block: int, source: int, like: torch.Tensor) -> torch.Tensor:
        slot = self.where.slots[self.inputs[source]]
        return arena.strided(self.blocks[block], slot, like.dtype, like.shape, like.stride(), 0)

    def restore(self) -> None:
        """Every byte that is mapped as before the first run."""
        self.memory.copy_(self.pristine)

    def output(self, view: View, number: int) -> torch.Tensor:
        """An output of set `number`, in the arena."""
        dtype, slot = getattr(torch, view.dtype), self.where.slots[view.buffer]
        return arena.strided(self.blocks[self.order[number]], slot, dtype, view.shape, view.strides, view.offset)

    def _outputs(self, view: View) -> torch.Tensor:
        """A copy of an output of all sets, (sets, *view.shape)."""
        return torch.stack([self.output(view, number) for number in range(len(self.drawn))])

    def check(self, views: list[View], found: Any, tolerance: Tolerance) -> Verdict:
        """Memory first (guards, inputs), then structure, dtype, shape, then numbers.

        Where all is well: `rel_l2` and `limit_share`, the largest over all sets and outputs.
        """
        before, after = self._blocks(self.pristine), self._blocks(self.memory)
        bands = (arena.guards(blocks, self.where, self.unit) for blocks in (before, after))
        outside = list(zip(*bands, strict=True))
        outside.append((self.pristine[before.numel() :], self.memory[before.numel() :]))
        outside += [(before[block], after[block]) for block in self.decoys]
        spans = [slice(s.offset, s.offset + s.nbytes) for s in (self.where.slots[buffer] for buffer in self.kept)]
        inputs = [(before[:, span], after[:, span]) for span in spans]
        changed = _differ([*outside, *inputs])
        if any(changed[: len(outside)]):
            return rejected("launch", "a kernel writes outside its buffers")
        for buffer, differs in zip(self.kept, changed[len(outside) :], strict=True):
            if differs:
                return rejected("tamper", f"input {next(s for s, n in self.inputs.items() if n == buffer)} was changed")
        if found != self.structure:
            return rejected("numerics", f"the output is {_plain(found)}, expected {_plain(self.structure)}")
        for number, (view, one) in enumerate(zip(views, self.expected[0], strict=True)):
            dtype, shape = str(one.honest.dtype).removeprefix("torch."), list(one.honest.shape)
            if view.dtype != dtype or list(view.shape) != shape:
                got = f"{view.dtype}{list(view.shape)}"
                return rejected("numerics", f"output {number} is {got}, expected {dtype}{shape}")
        for buffer, source in self.changing.items():
            tensor = self.drawn[0].tensors[source]
            whole = {n for n, view in enumerate(views) if view.buffer == buffer and _is_whole(view, tensor)}
            if not whole or not self.returned[source] <= whole:
                where = "".join(f", as output {n}" for n in sorted(self.returned[source]))
                reason = f"input {source} must be returned as the tensor that it is{where}, not as another view of it"
                return rejected("numerics", reason)
        return self._numbers(views, tolerance)

    def check_again(self, views: list[View], tolerance: Tolerance) -> Verdict:
        """After a repetition: decoys untouched, and the same bits as those that were right, or else right by their own
        numbers.
        """
        before, after = self._blocks(self.pristine), self._blocks(self.memory)
        decoys = [(before[block], after[block]) for block in self.decoys]
        changed = _differ([*decoys, *zip(self.verified, self._bits(views), strict=True)])
        if any(changed[: len(decoys)]):
            return rejected("launch", "a kernel writes outside its buffers")
        return self._numbers(views, tolerance) if any(changed[len(decoys) :]) else {}

    def keep(self, sets: int) -> None:
        """Go on with the first `sets` sets only; the blocks of the others are decoys from now on."""
        self.decoys = sorted({*self.decoys, *self.order[sets:]})
        self.drawn, self.expected, self.order = self.drawn[:sets], self.expected[:sets], self.order[:sets]

    def _blocks(self, memory: torch.Tensor) -> torch.Tensor:
        return memory[: self.blocks.numel()].view_as(self.blocks)

    def _bits(self, views: list[View]) -> list[torch.Tensor]:
        """Outputs in all blocks, decoys too, (blocks, *shape) as integers: NaN must equal NaN here."""
        found = []
        for view in views:
            item = getattr(torch, view.dtype).itemsize
            flat = self.blocks.view(-1).view(_INTEGERS[item])
            offset = flat.storage_offset() + self.where.slots[view.buffer].offset // item + view.offset
            strides = (self.where.nbytes // item, *view.strides)
            found.append(flat.as_strided((len(self.blocks), *view.shape), strides, offset))
        return found

    def _numbers(self, views: list[View], tolerance: Tolerance) -> Verdict:
        results: list[Comparison] = []
        outputs = [self._outputs(view) for view in views]
        for expected, *candidate in zip(self.expected, *outputs, strict=True):
            for number, (one, y) in enumerate(zip(expected, candidate, strict=True)):
                result = compare(y, one.truth, one.honest, tolerance, one.users)
                if result.reason:
                    return rejected("numerics", f"output {number}: {result.reason}")
                results.append(result)
        self.verified = [bits.clone() for bits in self._bits(views)]
        return {
            "rel_l2": max((r.rel_l2 for r in results), default=0.0),
            "limit_share": max((r.limit_share for r in results), default=0.0),
        }


def telling(put: Callable[[], Exam]) -> Exam:
    """An exam that tells who worked, drawn anew by `put` until it does. Some tasks have none: then the last one."""
    until, exam = time.monotonic() + REDRAW_SECONDS, put()
    for _ in range(REDRAWS):
        if exam.tells() or time.monotonic() > until:
            break
        exam = put()
    return exam


def _places(outputs: list[torch.Tensor], tensor: torch.Tensor) -> set[int]:
    """Which of the reference's outputs are this input of its own; none where it returns new tensors."""
    return {
        number for number, output in enumerate(outputs)
        if output.numel() and output.data_ptr() == tensor.data_ptr()
        and output.shape == tensor.shape and output.stride() == tensor.stride()
    }  # fmt: skip


def _is_whole(view: View, tensor: torch.Tensor) -> bool:
    """Whether a view is laid out as the input whose memory it is."""
    strides = [s for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1]
    own = [s for s, n in zip(view.strides, view.shape, strict=True) if n > 1]
    return view.offset == 0 and list(tensor.shape) == view.shape and own == strides


def _differ(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> list[bool]:
    """For each pair whether any byte differs; the device is waited for once."""
    found = [(a != b).any() for a, b in pairs if a.numel()]
    answers = iter(torch.stack(found).tolist() if found else [])
    return [a.numel() > 0 and next(answers) for a, _ in pairs]


def rejected(stage: str, reason: str) -> Verdict:
    return {"rejected": {"stage": stage, "reason": reason}}


def _plain(found: Any) -> str:
    if isinstance(found, str):
        return "a tensor"
    ((kind, items),) = found.items()
    return f"a {kind} of {len(items)}"
