"""Runs gold code below its test and writes down the outermost calls: the process that `task` starts.

The gold code is somebody else's. Without a GPU it runs in a forked child in the jail of candidates
(`sandbox.jail.zygote`), on CPU tensors that pretend to be on a GPU. With one it runs in a forked child too, with a
deadline and an empty folder, but no jail: kernels are compiled there and the driver is needed, as in the judge that
runs the same code later.
"""

import importlib
import linecache
import os
import signal
import socket
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from eval.benchmarks.tritonbench.calls import Call, UnusableCallError, expression, given
from eval.benchmarks.tritonbench.trials import Recording, posed
from sandbox import wire
from sandbox.jail import isolation, zygote
from sandbox.judging import judge
from sandbox.triton_private import reference as triton_reference

MOST_CALLS = 6
"""Distinct calls of a test that become cases: each costs every candidate a run."""
TEST_SECONDS = {"cpu": 20, "cuda": 120}
"""What a test has called by then is taken."""
ENDED = "the gold code ended the process that ran its test"
CPU_CALL_SECONDS = 2.0
CPU_ELEMENTS = 1 << 22
"""A call that takes longer, or more memory, is no case without a GPU."""


class _TestTooLongError(BaseException):
    """Not to be caught by a test."""


class Watch:
    """Callables of the gold code, as the test gets them: each call is written down when it has come back."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.unusable: Counter[str] = Counter()

    def wrapped(self, name: str, value: Any) -> Any:
        """`value`, watched if it is something that a candidate can be asked for."""
        if isinstance(value, type):
            if issubclass(value, torch.autograd.Function):
                return type(name, (value,), {"apply": self._function(f"{name}.apply", value.apply)})
            return self._refusing(value, "a class with state is called")
        if hasattr(value, "run") and hasattr(value, "__getitem__"):  # a kernel, autotuned or not
            self.unusable["the test launches kernels itself"] += 1
            return value
        return self._function(name, value) if callable(value) else value

    def _function(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                text, tensors = expression(name, args, kwargs)
                before = [given(tensor) for tensor in tensors]
                kept = [tensor.detach().clone() for tensor in tensors]
            except UnusableCallError as error:
                self.unusable[str(error)] += 1
                return function(*args, **kwargs)
            started = time.perf_counter()
            result = function(*args, **kwargs)
            torch.cuda.synchronize()
            seconds = time.perf_counter() - started
            after = [
                one if _same_bits(old, tensor) else one.model_copy(update={"mutated": True})
                for one, old, tensor in zip(before, kept, tensors, strict=True)
            ]
            found = _tensors(result)
            inputs = {tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()}
            new = tuple(n for n, tensor in enumerate(found) if tensor.untyped_storage().data_ptr() not in inputs)
            recorded = Call(expression=text, given=tuple(after), returned=len(found), kept=new, seconds=seconds)
            if recorded.results:
                self.calls.append(recorded)
            else:
                self.unusable["the call returns no new tensor and changes none"] += 1
            return result

        return call

    def _refusing(self, value: type, reason: str) -> Callable[..., Any]:
        def made(*args: Any, **kwargs: Any) -> Any:
            self.unusable[reason] += 1
            return value(*args, **kwargs)

        return made


def record(name: str, gold: str, test: str, called: tuple[str, ...], device: str) -> Recording | str:
    """The calls of a test that can be posed anew, or why there are none. Runs `gold` and `test` here.

    Args:
        name: of the item, and of the module as which some tests import the gold code.
        called: names of the gold code that the test uses.
        device: `cpu` or `cuda`.
    """
    watch = Watch()
    failure = _run(name, gold, test, called, watch, TEST_SECONDS[device])
    reasons = ([f"the test fails: {failure}"] if failure else []) + [text for text, _ in watch.unusable.most_common()]
    if not watch.calls:
        return reasons[0] if reasons else "the test calls nothing of the gold code"
    distinct = list({call.layout: call for call in reversed(watch.calls)}.values())[::-1]
    usable = [_with_something_drawn(call) for call in distinct if call.given]
    if not usable:
        return "no tensor is among the arguments"
    if device == "cpu":
        quick = [call for call in usable if call.seconds <= CPU_CALL_SECONDS and call.elements <= CPU_ELEMENTS]
        reasons += ["a call does not fit the CPU budget"] if len(quick) < len(usable) else []
        if not quick:
            return "no call fits the CPU budget; a GPU helps"
        usable = quick
    often = Counter(call.mutates for call in usable).most_common(1)[0][0]
    alike = [call for call in usable if call.mutates == often]
    calls = alike[:MOST_CALLS]
    reasons += ["a call changes other inputs than most"] if len(alike) < len(usable) else []
    reasons += [f"there are {len(alike)} different calls"] if len(calls) < len(alike) else []
    return posed(gold, calls, device, "; ".join(reasons))


def _run(name: str, gold: str, test: str, called: tuple[str, ...], watch: Watch, seconds: int) -> str:
    """Run the test; what it failed with, or ""."""
    torch.manual_seed(0)
    space: dict[str, Any] = {"__name__": "gold"}
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(seconds)
    try:
        exec(_compiled(gold, "gold"), space)
        watched = {used: watch.wrapped(used, space[used]) for used in called if used in space}
        module = ModuleType(name)
        vars(module).update({**space, **watched})
        sys.modules.setdefault(name, module)
        tested: dict[str, Any] = {**space, **watched, "__name__": "__main__"}
        exec(_compiled(test, "test"), tested)
        if not watch.calls and not watch.unusable:
            for value in [value for key, value in tested.items() if key.startswith("test") and callable(value)]:
                value()  # defined, but never run
    except _TestTooLongError:
        return f"it takes longer than {seconds} s"
    except (Exception, SystemExit) as error:  # whatever somebody's test raises is the finding
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.alarm(0)
    return ""


def _stop(number: int, frame: object) -> None:
    raise _TestTooLongError


def _tensors(value: Any) -> list[torch.Tensor]:
    """As `judged_tensors` of `calls.COLLECT`."""
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return [tensor for item in items for tensor in _tensors(item)]


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """NaN equals itself here."""
    return torch.equal(*(t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (one, other)))


def _compiled(source: str, name: str) -> Any:
    file = f"<{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)  # Triton reads lines
    return compile(source, file, "exec")


def _with_something_drawn(call: Call) -> Call:
    """Where nothing else would be drawn, integers are, in the range that they had."""
    if any(one.values is None for one in call.given):
        return call
    return call.model_copy(update={"given": tuple(one.model_copy(update={"values": None}) for one in call.given)})


def _work(request: dict[str, Any]) -> dict[str, Any]:
    on_cpu = request["device"] == "cpu"
    arguments = request["name"], request["gold"], request["test"], tuple(request["called"]), request["device"]
    if on_cpu:
        with triton_reference.pretended():
            found = record(*arguments)
    else:
        found = record(*arguments)
    return {"reason": found} if isinstance(found, str) else {"recording": found.model_dump(mode="json")}


def _in_jail(request: dict[str, Any], scratch: Path, files: list[int]) -> dict[str, Any]:
    os.chdir(scratch)
    return _work(request)


def _on_gpu(request: dict[str, Any], files: list[int]) -> judge.Reply:
    """In a child that starts its own CUDA context: after a fault of the device nothing works any more in a process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            isolation.die_with_parent()
            os.close(read)
            wire.write_all(write, wire.dumps(_work(request)))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        reply = pipe.read()
    os.waitpid(child, 0)
    return wire.loads(reply) if reply else {"reason": ENDED}, ()


def _warm() -> None:
    """What Triton and torch do at first use is done before the forks."""
    torch.set_num_threads(1)
    with triton_reference.pretended():
        torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3))
        torch.ones(4).to(torch.float16).matmul(torch.ones(4, 4, dtype=torch.float16))


def main() -> None:
    """`python -m eval.benchmarks.tritonbench.recorder cpu|cuda FD`."""
    device, fd = sys.argv[1:]
    isolation.die_with_parent()
    warnings.simplefilter("ignore")
    channel = socket.socket(fileno=int(fd))
    if device == "cuda":
        os.chdir(os.environ["TMPDIR"])
        importlib.import_module("triton")  # in the parent, once; nothing of CUDA, which does not survive a fork
        judge.answer(channel, {"record": _on_gpu})
    else:
        _warm()
        zygote.serve(_in_jail, channel, "run")
    os._exit(0)


if __name__ == "__main__":
    main()
