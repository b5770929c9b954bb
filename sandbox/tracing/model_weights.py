"""Gives a traced `nn.Module` the reference's weights. Runs in the tracer, after the candidate's constructor.

KernelBench says with seeds what is said here with names: both constructors draw the same numbers. So weights that the
candidate draws become inputs of the plan: by name, else by the order in which they are made among equal shapes and
contents (drawn numbers, ones, zeros). What its constructor makes out of them (a packed, transposed or half-precision
copy) stays in the plan as steps, so that it is made of the right weights.
Not covered: weights that are drawn, changed by arithmetic, and match the reference's under no name and no shape.
"""

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from sandbox.plans.aten_names import is_random
from sandbox.plans.plan import DTYPES
from sandbox.tracing.recorded_steps import Step, moved, read, written
from sandbox.tracing.recorder import Recorder

View = dict[str, Any]
_torch_one_hot = torch.nn.functional.one_hot
_DRAWN = "drawn"


class ParameterError(Exception):
    """The candidate has a weight that the reference does not have."""


def mend_modules() -> None:
    """Make constructors work on fake tensors where torch's own code does not. For good, in this process."""
    torch.nn.init.trunc_normal_ = _draw  # torch's looks at what it drew
    torch.nn.Module._apply = _apply_to_tensors  # type: ignore[method-assign]  # torch's swaps tensors, fakes cannot
    torch.nn.modules.transformer._detect_is_causal_mask = _is_causal  # torch's looks into the mask
    torch.nn.functional.one_hot = _one_hot  # and at the least index, on a CPU
    FakeTensor.__deepcopy__ = _deepcopy  # type: ignore[method-assign]  # torch's copies a storage, fakes have none


def _is_causal(mask: Any, is_causal: bool | None = None, size: int | None = None) -> bool:
    """As the caller says: the hint saves work, and the mask says the same."""
    return is_causal is True


def _one_hot(tensor: torch.Tensor, num_classes: int = -1) -> torch.Tensor:
    if num_classes < 1:  # as many as the data says
        return _torch_one_hot(tensor)
    return (tensor.unsqueeze(-1) == torch.arange(num_classes, device=tensor.device)).to(torch.int64)


def _draw(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """Some random numbers: whatever they are, the reference's weights take their place."""
    with torch.no_grad():
        return tensor.normal_()


def _deepcopy(tensor: torch.Tensor, memo: dict[int, torch.Tensor]) -> torch.Tensor:
    if id(tensor) not in memo:
        copy = tensor.detach().clone()
        parameter = isinstance(tensor, torch.nn.Parameter)
        memo[id(tensor)] = torch.nn.Parameter(copy, tensor.requires_grad) if parameter else copy
    return memo[id(tensor)]


def _apply_to_tensors(module: torch.nn.Module, function: Any, recurse: bool = True) -> torch.nn.Module:
    """`module.half()`, `.to(…)`, `.cuda()`: tensors that change are replaced, shared ones by the same."""
    if not hasattr(function, "__dict__"):  # built in
        return _apply_to_tensors(module, lambda tensor: function(tensor), recurse)
    done = vars(function).setdefault("done", {})
    for child in module.children() if recurse else ():
        child._apply(function)  # type: ignore[no-untyped-call]  # torch has no types for it
    for name, parameter in module._parameters.items():
        if parameter is not None:
            if id(parameter) not in done:
                with torch.no_grad():
                    result = function(parameter)
                fresh = parameter if result is parameter else torch.nn.Parameter(result, parameter.requires_grad)
                done[id(parameter)] = (fresh, parameter)  # the old one is kept so that its id stays its own
            module._parameters[name] = done[id(parameter)][0]
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = function(buffer)
    return module


def bind_parameters(
    module: torch.nn.Module, reference: dict[str, torch.Tensor], constants: dict[str, float], recorder: Recorder
) -> None:
    """Make weights that the constructor drew the inputs in `reference`.

    Args:
        reference: the reference's weights, in the order in which they are made.
        constants: those that are the same number all over in every fresh model, and that number.

    Raises:
        ParameterError: a weight has no counterpart.
    """
    free = {name: recorder.view(tensor) for name, tensor in reference.items()}
    theirs = dict(free)
    recorder.parameters = {view["buffer"] for view in free.values()}
    persistent = module.state_dict(keep_vars=True)
    own = {**persistent, **dict(module.named_buffers(remove_duplicate=False))}
    views = {name: recorder.view(tensor) for name, tensor in own.items()}
    maker = _Maker(recorder.steps, {view["buffer"] for view in views.values()})
    bound: dict[int, tuple[View, View]] = {}

    def bind(view: View, partner: str) -> None:
        bound.setdefault(view["buffer"], (view, free.pop(partner)))

    named = {n: v for n, v in views.items() if n in free and _matches(v, free[n]) and not _renamed(n, v, free)}
    origins = {name: maker.origin(view, free[name]) for name, view in named.items()}
    for name, view in named.items():
        copies = {views[other]["buffer"] for other in named if origins[other]["buffer"] == origins[name]["buffer"]}
        bind(origins[name] if len(copies) == 1 else view, name)  # of one layer, copied: each has its own weights
    lacking = []
    tables = {name for name, _ in module.named_buffers(remove_duplicate=False)}
    for name, origin in maker.in_order(views, tables):
        if name not in persistent or maker.made_of(views[name]["buffer"]) & bound.keys():
            continue
        if name in theirs and not _matches(views[name], theirs[name]):
            continue
        partner = _partner(name, origin, free, constants, maker)
        if partner is not None and not maker.made_of(views[name]["buffer"]) & maker.registered - {
            views[name]["buffer"]
        }:
            bind(origin, partner)
        else:
            lacking.append(name)
    for view in maker.random_draws():
        partner = next((other for other, found in free.items() if _same(view, found)), None)
        if view["buffer"] not in bound and partner is not None:
            bind(view, partner)
    for name in lacking:
        if maker.draws(views[name]["buffer"]) - bound.keys():
            shape = tuple(views[name]["shape"])
            raise ParameterError(
                f"parameter {name!r} of shape {shape} has no counterpart in the reference's state_dict; give the "
                "module weights of the reference's shapes, and make others of those"
            )
    _apply(recorder, list(bound.values()))


def _renamed(name: str, view: View, free: dict[str, View]) -> bool:
    """The name is another weight's in the reference: shapes differ in dimensions of 1, and another one fits exactly."""
    return free[name]["shape"] != view["shape"] and any(found["shape"] == view["shape"] for found in free.values())


def _partner(name: str, view: View, free: dict[str, View], constants: dict[str, float], maker: "_Maker") -> str | None:
    """The most alike of the reference's weights; of several the first."""
    content = maker.content(view["buffer"])

    def unlike(other: str) -> tuple[bool, bool, bool]:
        return (
            other.replace(".", "_") != name.replace(".", "_") or _renamed(other, view, free),
            content is not None and content != constants.get(other, _DRAWN),
            free[other]["shape"] != view["shape"],
        )

    return min((other for other, found in free.items() if _matches(view, found)), key=unlike, default=None)


def _apply(recorder: Recorder, pairs: list[tuple[View, View]]) -> None:
    """Weights with the reference's layout become its inputs; others get a converting copy before everything else."""
    numbers, copies = {}, []
    for view, partner in pairs:
        if not _whole(view, recorder):
            raise ParameterError(
                f"a parameter of shape {tuple(view['shape'])} is part of a larger tensor; give it memory of its own"
            )
        if _same(view, partner):
            numbers[view["buffer"]] = partner["buffer"]
        else:
            copies.append({"kind": "copy", "target": view, "source": _shaped(partner, view)})
    replaced = {view["buffer"] for view, _ in pairs}
    recorder.steps = copies + [moved(s, numbers) for s in recorder.steps if not written(s) & replaced]
    recorder.become(numbers)


class _Maker:
    """What the constructor's steps say about where memory got its content."""

    def __init__(self, steps: list[Step], registered: set[int]) -> None:
        self.registered = registered
        """Buffers that the module's state_dict names."""
        self.writers: dict[int, list[Step]] = {}
        for step in steps:
            for number in written(step):
                self.writers.setdefault(number, []).append(step)

    def made_of(self, number: int) -> set[int]:
        """All buffers whose content went into this one, itself included."""
        found, queue = {number}, [number]
        while queue:
            for step in self.writers.get(queue.pop(), []):
                queue += read(step) - found
                found |= read(step)
        return found

    def draws(self, number: int) -> set[int]:
        """Those of them that random numbers were drawn into."""
        return {n for n in self.made_of(number) if any(is_random(s.get("name", "")) for s in self.writers.get(n, []))}

    def random_draws(self) -> list[View]:
        """Whole random tensors, in the order of drawing, that the module does not name."""
        unnamed = [number for number in self.writers if number not in self.registered]
        return [self.writers[number][-1]["results"][0] for number in unnamed if self._drawn(number)]

    def content(self, number: int) -> float | str | None:
        """The number that fills this memory, `_DRAWN` if numbers were drawn into it, None where nobody knows."""
        last = self.writers.get(number, [{"kind": ""}])[-1]
        return last["value"] if last["kind"] == "fill" else _DRAWN if self.draws(number) else None

    def in_order(self, views: dict[str, View], tables: set[str]) -> list[tuple[str, View]]:
        """Names with the tensors that were drawn for them, in the order in which those were made; `tables` last."""
        origins = {name: self.origin(view, None) for name, view in views.items()}
        return sorted(origins.items(), key=lambda item: (item[0] in tables, int(item[1]["buffer"])))

    def origin(self, view: View, partner: View | None) -> View:
        """The tensor that was drawn where `view` is only a copy of one (transposed, converted), else `view` itself."""
        number, found = view["buffer"], view
        while len(self.writers.get(number, [])) == 1 and self.writers[number][0]["kind"] == "copy":
            number = self.writers[number][0]["source"]["buffer"]
            if number in self.registered:
                return view
            if self._drawn(number):
                found = self.writers[number][-1]["results"][0]
        return found if partner is None or _same(found, partner) else view

    def _drawn(self, number: int) -> bool:
        """Random numbers were drawn into it, and nothing but itself went into it besides."""
        steps = self.writers.get(number, [])
        alone = all(s["kind"] == "torch" and len(s.get("results", [])) == 1 and read(s) <= {number} for s in steps)
        return alone and any(is_random(step["name"]) for step in steps)


def _matches(view: View, partner: View) -> bool:
    """Same shape but for dimensions of 1, and the same dtype or another floating-point one."""
    floating = all("float" in v["dtype"] for v in (view, partner))
    lengths = [[n for n, _ in _dimensions(v)] for v in (view, partner)]
    return lengths[0] == lengths[1] and (floating or view["dtype"] == partner["dtype"])


def _same(view: View, partner: View) -> bool:
    alike = all(view[key] == partner[key] for key in ("dtype", "offset"))
    return alike and _dimensions(view) == _dimensions(partner)


def _dimensions(view: View) -> list[tuple[int, int]]:
    """Lengths and strides, without dimensions of 1: in a bias, [C] and [C, 1, 1] are the same numbers."""
    return [(n, stride) for n, stride in zip(view["shape"], view["strides"], strict=True) if n != 1]


def _shaped(partner: View, view: View) -> View:
    strides = iter([stride for _, stride in _dimensions(partner)])
    return {**partner, "shape": view["shape"], "strides": [1 if n == 1 else next(strides) for n in view["shape"]]}


def _whole(view: View, recorder: Recorder) -> bool:
    count = 1
    for n in view["shape"]:
        count *= n
    return bool(count * DTYPES[view["dtype"]] == recorder.buffers[view["buffer"]]["nbytes"])
