"""The untrusted step: run a candidate's Python on fake tensors and write down what it wants done.

Runs inside an isolated child of the `trace` zygote. There is no data here, only shapes and dtypes; whatever the
candidate does to this process can only change the plan, and the plan is only data.
"""

import ast
import functools
import importlib
import importlib.util
import linecache
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from triton.compiler.errors import CompilationError

from sandbox.compiling.lowering import LoweringError, lower
from sandbox.kernels.request import KernelRequest
from sandbox.kernels.syntax import walk
from sandbox.tracing import warm_candidate
from sandbox.tracing.chance import name_hash, prepare, take_side
from sandbox.tracing.fake_cuda import FakeCuda, pretend_cuda
from sandbox.tracing.host_memory import HOST
from sandbox.tracing.model_weights import bind_parameters, mend_modules
from sandbox.tracing.recorder import Recorder, TooManyStepsError
from sandbox.tracing.unwrapped import unwrap
from sandbox.triton_private import errors as triton_errors
from sandbox.triton_private import trace as triton_trace
from sandbox.triton_private.device import device_of
from sandbox.triton_private.names import own_names

WARM = (
    "torch._prims_common", "triton.backends.amd.compiler", "triton.backends.nvidia.compiler",
    "triton.compiler.code_generator", "triton.language.extra.libdevice", "triton.tools.tensor_descriptor",
)  # fmt: skip
ROUNDS = (1, 2)
"""So often in a row each case is called in each of them; the first call of the second round counts."""
MAX_REASON = 400
MAX_LOG = 4000
MOST_CAUSES = 8
NO_GRAPH = "; candidates are called under torch.no_grad(), so put torch.enable_grad() around what needs gradients"


class TraceError(Exception):
    """The candidate does something that cannot be traced; the message says what to do instead."""


def warm() -> None:
    """Everything that the first candidate would otherwise pay for, without starting a thread."""
    triton_trace.check_version()
    pretend_cuda()  # first: fake tensors would otherwise ask the driver, which starts a thread
    mend_modules()
    unwrap()
    prepare()
    for module in WARM:
        importlib.import_module(module)
    torch.ones(1).to(torch.float16)  # the first conversion looks at the processor, which a jail without /proc hides
    _trace_our_own()


@functools.cache
def _fake_tensors() -> FakeTensorMode:
    """Made before the warm process forks: it writes down its stack, with the lines of all files."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def _trace_our_own() -> None:
    """Trace a candidate of our own from beginning to end, Triton IR included, and forget it."""
    request = {
        "candidate": warm_candidate.CANDIDATE, "entry_point": "ModelNew", "target": "sm_90",
        "cases": [warm_candidate.REQUEST_CASE], "ttir": True,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        reply = trace(request, Path(folder), [])
    if "plans" not in reply:
        raise RuntimeError(f"the tracer cannot trace its own candidate: {reply}")
    del sys.modules["candidate"]
    triton_trace.forget_functions()
    linecache.clearcache()


def trace(request: dict[str, Any], scratch: Path, fds: list[int]) -> dict[str, Any]:
    """Request: `candidate`, `entry_point`, `target`, `cases` (layouts by the judge), `ttir` (ship Triton IR or not),
    and optionally `variant` (which configuration autotuned kernels take, from 0), `trial` (which one they launch
    before, as if to time it), `apart` (they take different ones), `side` (which one chance takes, see `chance`; without
    it chance is as it comes) and `device` (as `triton_private.device.DEVICE`). A request with `launches` instead is for
    `lower_kernels`.

    Every case is called three times, in one module: all cases in order, and then all again, each twice in a row. What a
    candidate remembers from call to call, or of the last one alone, must not change what it does.

    Reply: `{"plans": […], "others": […], "variants": n, "tuners": m}`: a plan of each case's second call, those of its
    first and its third one, or None for one that is word for word the same, how many variants there are (1 to
    `MAX_VARIANTS`), and how many autotuned kernels have several; or `{"rejected": {…}}` with stage, reason, log and the
    case's position.
    """
    if "launches" in request:
        return lower_kernels(request, scratch)
    path = scratch / "candidate.py"
    path.write_text(request["candidate"])
    device = device_of(request["target"], request.get("device", {}))
    pretend_cuda(device)
    side = request.get("side")
    if side is not None:
        take_side(side)
    found: list[list[Any]] = [[] for _ in request["cases"]]
    position = 0
    lacking: set[str] = set()
    with _fake_tensors(), torch.no_grad(), FakeCuda(), Recorder() as recorder:
        tuning = triton_trace.Tuning(int(request.get("variant", 0)), request.get("trial"), request.get("apart", False))
        triton_trace.record_launches(request["target"], device, recorder.launch, bool(request["ttir"]))
        check_names = own_names()
        try:
            function = getattr(_load(path, recorder, lacking, side), request["entry_point"])
            for calls in ROUNDS:
                for position, case in enumerate(request["cases"]):
                    for _ in range(calls):
                        tuning.begin()
                        output = _call(function, case, recorder)
                        found[position].append(recorder.plan(_output(output, recorder), bool(request["ttir"])))
            check_names()
        except BaseException as error:  # whatever a candidate raises, SystemExit included, is its own doing
            return {"rejected": {**_describe(error, lacking), "case": position}}
    others = [[None if other == plan else other for other in (first, again)] for first, plan, again in found]
    counts = {"variants": tuning.most, "tuners": len(tuning.met)}
    return {"plans": [plan for _, plan, _ in found], "others": others, **counts}


def lower_kernels(request: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """In a child that sees no candidate: `launches`, each a `KernelRequest`, as Triton takes them for `target`.

    Reply: `{"signatures": […]}`, one a launch, or `{"rejected": {…}}` where a kernel is no valid Triton.
    """
    launches = [KernelRequest.model_validate(launch) for launch in request["launches"]]
    try:
        return {"signatures": [one.signature for one in lower(launches, request["target"], scratch)]}
    except LoweringError as error:
        return error.reply()


def _call(function: Any, case: dict[str, Any], recorder: Recorder) -> Any:
    tensors = [
        torch.empty_strided(layout["shape"], layout["strides"], dtype=getattr(torch, layout["dtype"]), device="cuda")
        for layout in case["tensors"]
    ]
    arguments = [_argument(tree, tensors) for tree in case["arguments"]]
    recorder.start(tensors)
    if isinstance(function, type) and issubclass(function, torch.nn.Module):
        module = function(*[_argument(tree, []) for tree in case["init_arguments"]])
        weights = {name: tensors[index] for name, index in case["parameters"].items()}
        bind_parameters(module, weights, case["constants"], recorder)
        recorder.constructed = len(recorder.steps)
        HOST.forget()  # whoever uses a module moves it
        function = module
    before = [_place(tensor) for tensor in tensors]
    output = function(*arguments)
    if before != [_place(tensor) for tensor in tensors]:
        raise TraceError("an input has got another shape or other memory, with which its caller would have to go on")
    return output


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Where a tensor finds its elements: `x.t_()` and `x.data = y` are no steps of a plan, but change that."""
    shape, strides = tuple(tensor.shape), tensor.stride()
    return tensor.dtype, shape, strides, tensor.storage_offset(), tensor.untyped_storage()._cdata


def _load(path: Path, recorder: Recorder, lacking: set[str], side: int | None) -> ModuleType:
    """Import the candidate from a real file: Triton reads source lines.

    Statement by statement: one that asks for data, as a test below the kernel does, is passed over. It tells nothing of
    what a later call does. `lacking` becomes the names that it would have set.
    """
    spec = importlib.util.spec_from_file_location("candidate", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["candidate"] = module
    if side is not None:
        name_hash(vars(module), side)
    tree = ast.parse(path.read_bytes(), str(path))
    compile(tree, path, "exec", dont_inherit=True)  # what is no module as a whole is none in parts
    features = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    for statement in tree.body:
        code = compile(ast.Module([*features, statement], []), path, "exec", dont_inherit=True)
        try:
            exec(code, vars(module))
        except Exception as error:
            if not _for_lack_of_data(error, lacking):
                raise
            names = [node for node in walk(statement) if isinstance(node, ast.Name)]
            lacking |= {name.id for name in names if isinstance(name.ctx, ast.Store)} - vars(module).keys()
            recorder.start([])
    return module


def _for_lack_of_data(error: BaseException, lacking: set[str]) -> bool:
    """It, or what led to it, is about tensors that hold none; a benchmark repeats its launches without end."""
    chain: BaseException | None = error
    try:
        for _ in range(MOST_CAUSES):
            if isinstance(chain, DataDependentOutputException | DynamicOutputShapeException | TooManyStepsError):
                return True
            if isinstance(chain, NameError) and chain.name in lacking:
                return True
            chain = chain and (chain.__cause__ or chain.__context__)
    except BaseException:  # hostile __cause__: then it says nothing
        pass
    return False


def _argument(tree: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    ((kind, value),) = tree.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {key: _argument(item, tensors) for key, item in value.items()}
    if kind in ("tuple", "list"):
        items = [_argument(item, tensors) for item in value]
        return tuple(items) if kind == "tuple" else items
    return value


def _output(value: Any, recorder: Recorder) -> dict[str, Any]:
    if type(value) in (FakeTensor, torch.nn.Parameter) or isinstance(value, FakeTensor):
        HOST.check(value, "an output")
        return {"view": recorder.view(value)}
    if type(value) in (tuple, list):
        return {type(value).__name__: [_output(item, recorder) for item in value]}
    if isinstance(value, tuple):  # named ones, torch's own too
        return {"tuple": [_output(item, recorder) for item in value]}
    if isinstance(value, dict):  # ordered ones too
        return {"dict": {str(key): _output(item, recorder) for key, item in value.items()}}
    raise TraceError(f"the output must be made of tensors, tuples, lists and dicts, not {type(value).__name__}")


def _describe(error: BaseException, lacking: set[str]) -> dict[str, str]:
    """Stage, reason and log of whatever was raised; the error's own `__str__` is not trusted to work."""
    stage = "compile" if any(c.__module__.startswith("triton.compiler") for c in type(error).__mro__) else "trace"
    if not isinstance(error, TooManyStepsError) and _for_lack_of_data(error, lacking):
        reason = (
            "the host code reads tensor data (.item(), bool(), nonzero, a data-dependent shape); a candidate must "
            "decide by shapes and dtypes alone"
        )
    elif isinstance(error, CompilationError):
        reason = triton_errors.describe(error)
    else:
        reason = f"{type(error).__name__}: {_text(error)}"
        reason += NO_GRAPH if "does not require grad and does not have a grad_fn" in reason else ""
    try:
        log = "".join(traceback.format_exception(error, limit=-8))
    except BaseException:  # hostile __str__ or __cause__: no log then
        log = ""
    return {"stage": stage, "reason": _valid(reason[:MAX_REASON]), "log": _valid(log[-MAX_LOG:])}


def _text(error: BaseException) -> str:
    try:
        text = str(error)
        return text if type(text) is str else ""
    except BaseException:
        return "(its message cannot be read)"


def _valid(text: str) -> str:
    return text.encode(errors="replace").decode()
