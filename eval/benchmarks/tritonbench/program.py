"""One program as TritonBench runs it, an answer and then the test, in an isolated process; its results as data.

The process that `eval.benchmarks.tritonbench.runner` starts: warm, forking a child a program. Covered: no network, no
file of the host, one small scratch folder, limits on time, memory and processes, and everything killed at the end
(`sandbox.jail.isolation`). Not covered: what a program says about itself. It can forge its exit code and its output, as
it can for upstream, and its results only by computing what it does not know.

Without a GPU, kernels run under Triton's interpreter, `cuda` means the CPU, and autotuning takes its first
configuration.
"""

import contextlib
import ctypes
import mmap
import os
import random
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import torch

from sandbox.jail import isolation, zygote
from sandbox.triton_private import reference as triton_reference

ALIGNMENT = 64
MAX_LEAVES, MAX_DEPTH, MAX_TEXT = 10_000, 32, 400
_GPU = os.environ.get("TRITON_INTERPRET") != "1"


def run(request: dict[str, Any], scratch: Path, files: list[int]) -> dict[str, Any]:
    """Request: `parts` of the program's text, `result` (a variable's name, or "") and `seed`. Descriptors: a file for
    stdout, and memory for the numbers of the results.

    Reply: `exit`, the program's exit code; `error`, what ended it; `leaves`, its results, or None; `lost`, why there
    are none.
    """
    os.dup2(files[0], 1)
    os.environ["TRITON_STORE_BINARY_ONLY"] = "1"  # the scratch folder is small
    path = scratch / "program.py"
    path.write_text("\n".join(request["parts"]), encoding="utf-8", errors="replace")
    main = ModuleType("__main__")
    main.__file__ = str(path)
    sys.modules["__main__"], sys.argv = main, [str(path)]
    seed = int(request["seed"])
    with contextlib.nullcontext() if _GPU else triton_reference.pretended():
        code, error = _execute(request["parts"], path, vars(main), seed)
    with contextlib.suppress(Exception):  # whatever the program has made of it
        sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)  # what kernels print
    reply: dict[str, Any] = {"exit": code, "error": error, "leaves": None, "lost": ""}
    if code == 0 and request["result"] in vars(main):
        try:
            reply["leaves"] = results(vars(main)[request["result"]], files[1])
        except Exception as fault:  # a kernel's fault shows when its output is read; a class may raise anything
            reply["lost"] = _describe(fault)
    return reply


def _execute(parts: list[str], path: Path, names: dict[str, Any], seed: int) -> tuple[int, str]:
    """Exit code, and what ended the program.

    Every part is seeded, so that an answer that draws random numbers while it is read changes no input.
    """
    seeds = random.seed, np.random.seed, torch.manual_seed
    before = [sum(text.count("\n") + 1 for text in parts[:number]) for number in range(len(parts))]
    try:
        for code in [_compiled(text, lines, path) for text, lines in zip(parts, before, strict=True)]:
            for draw in seeds:
                draw(seed)
            exec(code, names)
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return (stop.code or 0) & 0xFF, f"SystemExit: {stop.code}"
        return 1, _short(f"SystemExit: {stop.code}")
    except BaseException as error:  # as an interpreter would: exit code 1
        traceback.print_exc()
        return 1, _describe(error)
    return 0, ""


def _compiled(text: str, before: int, path: Path) -> CodeType:
    return compile("\n" * before + text, str(path), "exec", dont_inherit=True)


def _describe(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return _short(f"{type(error).__name__}: {error}")


def _short(text: str) -> str:
    """As it can travel."""
    return text[:MAX_TEXT].encode(errors="replace").decode()


def results(value: Any, file: int) -> list[dict[str, Any]]:
    """Leaves as `eval.benchmarks.tritonbench.results` reads them.

    Raises:
        ValueError: more than the memory holds.
    """
    with torch.no_grad():
        return list(_leaves(value, "", _Memory(file)))


class _Memory:
    """Where the parent will look for the numbers."""

    def __init__(self, file: int) -> None:
        self.bytes = mmap.mmap(file, os.fstat(file).st_size)
        self.used = self.leaves = 0

    def put(self, tensor: torch.Tensor) -> int:
        """Returns where they begin."""
        data = tensor.reshape(-1).contiguous().view(torch.uint8)
        start = -(-self.used // ALIGNMENT) * ALIGNMENT
        if start + len(data) > len(self.bytes):
            raise ValueError(f"the results take more than {len(self.bytes) >> 20} MiB")
        if len(data):
            torch.frombuffer(self.bytes, dtype=torch.uint8, offset=start, count=len(data)).copy_(data)
        self.used = start + len(data)
        return start


def _leaves(value: Any, path: str, memory: _Memory) -> Iterator[dict[str, Any]]:
    memory.leaves += 1
    if memory.leaves > MAX_LEAVES or path.count("[") > MAX_DEPTH:
        raise ValueError("the results are nested too deeply, or are too many")
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, torch.Tensor):
        dense = value.detach().to_dense() if value.layout is not torch.strided else value.detach()
        dense = dense.resolve_conj().resolve_neg().cpu()
        kind = str(dense.dtype).removeprefix("torch.")
        yield {"path": path, "kind": "tensor", "dtype": kind, "shape": list(dense.shape), "offset": memory.put(dense)}
    elif isinstance(value, Mapping):
        yield {"path": path, "kind": "dict", "value": str(len(value))}
        for key, member in value.items():
            name = _short(key) if isinstance(key, str) else (type(key).__name__, _short(str(key)))
            yield from _leaves(member, f"{path}[{name!r}]", memory)
    elif isinstance(value, list | tuple):
        yield {"path": path, "kind": "list", "value": str(len(value))}
        for position, member in enumerate(value):
            yield from _leaves(member, f"{path}[{position}]", memory)
    else:
        kind, text = _plain(value)
        yield {"path": path, "kind": kind, "value": _short(text)}


def _plain(value: Any) -> tuple[str, str]:
    if value is None:
        return "none", ""
    if isinstance(value, bool | int | float):
        kind = {bool: "bool", int: "integer"}.get(type(value), "float")
        return kind, value.hex() if isinstance(value, float) else str(value)
    if isinstance(value, str | torch.dtype | torch.device):
        return "text", str(value)
    return "other", type(value).__qualname__


def warm() -> None:
    """What programs would otherwise import, each for itself; CUDA must not be started before the fork."""
    torch.set_num_threads(1)
    if not _GPU:
        from sandbox.interpreting import (
            interpreter,  # and with it Triton, which must not be there before a GPU's programs choose
        )

        interpreter.warm()
        triton_reference.prepare()


def main() -> None:
    """`python -m eval.benchmarks.tritonbench.program FD`."""
    isolation.die_with_parent()
    channel = socket.socket(fileno=int(sys.argv[1]))
    warm()
    zygote.serve(run, channel, "program" if _GPU else "run")
    os._exit(0)


if __name__ == "__main__":
    main()
