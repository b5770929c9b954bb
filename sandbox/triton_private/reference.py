"""References that launch Triton kernels, on a host without a GPU: under Triton's interpreter, on a pretended device.

Covered: kernels, libdevice, autotuning (the first configuration is taken: a choice by time would mean nothing), and
what host code asks of `torch.cuda`. Not covered: host code that asks Triton's driver.
"""

import contextlib
import functools
import os
import re
import sys
from collections.abc import Iterator

import torch

from sandbox.tracing.fake_cuda import FakeCuda, pretend_cuda

LAUNCHES = re.compile(r"^\s*(import|from)\s+triton\b", re.MULTILINE)


def launches_triton(source: str) -> bool:
    """Whether a reference has kernels of its own."""
    return LAUNCHES.search(source) is not None


@contextlib.contextmanager
def pretended() -> Iterator[None]:
    """Inside, CPU tensors say that they are on `cuda:0`, and kernels run under the interpreter. Errors as `prepare`."""
    prepare()
    kept = dict(vars(torch.cuda))
    try:
        pretend_cuda()
        with FakeCuda():
            yield
    finally:
        vars(torch.cuda).update(kept)


@functools.cache
def prepare() -> None:
    """Import Triton, which decides by then whether it interprets. Once for a process, and before it is locked down.

    Raises:
        RuntimeError: Triton was imported before, to compile.
    """
    if "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError("Triton was imported to compile; set TRITON_INTERPRET=1 before it is imported")
    os.environ["TRITON_INTERPRET"] = "1"
    from sandbox.triton_private import interpreter as triton_interpreter

    triton_interpreter.mend_numbers()
    triton_interpreter.serve_programs()
