"""Interprets kernels for tests: a plan of one launch over tensors of the test's own, in the isolated child that judges
candidates, without tracer and judge.
"""

import ast
import os
from typing import Any

import torch

from sandbox import wire
from sandbox.kernels import source as kernel_source
from sandbox.plans import arena
from sandbox.plans.plan import Buffer, Copy, KernelCode, Launch, Plan, Pointer, Scalar, Step, View
from sandbox.pool import Helper, run_untrusted

HEAD = "import triton\nimport triton.language as tl\nfrom triton.language.extra import libdevice\n"
MEMORY_MIB = 512


def view(number: int, x: torch.Tensor) -> View:
    """The whole of a contiguous tensor, as buffer `number`."""
    dtype = str(x.dtype).removeprefix("torch.")
    return View(buffer=number, dtype=dtype, shape=list(x.shape), strides=list(x.stride()), offset=0)


def interpret(
    helper: Helper,
    kernel: str,
    programs: int,
    tensors: list[torch.Tensor | int],
    seconds: float = 10.0,
    **constants: int,
) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """The child's reply, and the tensors as the kernel left them.

    Args:
        kernel: source of a function called `kernel`; its helpers may stand before it.
        tensors: its pointer arguments in order. A number is scratch of so many int32 that nothing has set.
    """
    tree = ast.parse(HEAD + kernel)
    (function,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "kernel"]
    names = [argument.arg for argument in function.args.args]
    data = [torch.full((x,), -1, dtype=torch.int32) if isinstance(x, int) else x for x in tensors]
    arguments: dict[str, Any] = {
        name: Pointer(view=view(n, x)) for n, (name, x) in enumerate(zip(names, data, strict=False))
    }
    arguments |= {name: Scalar(value=value, constexpr=True) for name, value in constants.items()}
    step = Launch(kernel=0, grid=[programs, 1, 1], arguments={name: arguments[name] for name in names})
    module = kernel_source.build(tree, {"kernel": None}, set())
    scratch = [isinstance(x, int) for x in tensors]
    return run_steps(helper, [step], data, scratch, module, seconds)


def copies(helper: Helper, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """Copy the first of each pair into the second; the reply, and all tensors as they are then."""
    data = [x for pair in pairs for x in pair]
    steps: list[Step] = [
        Copy(source=view(2 * n, source), target=view(2 * n + 1, target)) for n, (source, target) in enumerate(pairs)
    ]
    return run_steps(helper, steps, data, [False] * len(data), None, 10.0)


def run_steps(
    helper: Helper, steps: list[Step], data: list[torch.Tensor], scratch: list[bool],
    module: kernel_source.KernelModule | None, seconds: float,
) -> tuple[dict[str, Any], list[torch.Tensor]]:  # fmt: skip
    """Run steps over buffers with this content; `scratch` says which of them hold nothing that was set."""
    sizes = [x.numel() * x.element_size() for x in data]
    buffers = [
        Buffer(nbytes=size, input=None if own else n) for n, (size, own) in enumerate(zip(sizes, scratch, strict=True))
    ]
    kernels = [] if module is None else [KernelCode(name="kernel", line=0, ttir="", options={}, constants={})]
    fields = {"synchronises": False, "waits": False} if module is None else module.model_dump(mode="json")
    where = arena.layout(sizes)
    fd, memory = arena.create(where.nbytes)
    places = [
        arena.strided(memory, slot, x.dtype, x.shape, x.stride(), 0) for slot, x in zip(where.slots, data, strict=True)
    ]
    for place, x in zip(places, data, strict=True):
        place.copy_(x)
    plan = Plan(buffers=buffers, kernels=kernels, steps=steps, output=None)
    request = {"plan": plan.model_dump(), "layout": where.model_dump(), **fields}
    try:
        outcome = run_untrusted(helper, request, seconds, MEMORY_MIB, (fd,))
    finally:
        os.close(fd)
    if outcome.report.get("timed_out"):
        return {"timed_out": True}, places
    assert outcome.reply, f"{outcome.report} {outcome.log}"
    reply = wire.loads(outcome.reply)
    assert isinstance(reply, dict)
    return reply, [place.clone() for place in places]
