"""Everything that touches Triton's private interfaces: one module, with a version check. Triton 3.6 to 3.9.

Two halves: `record_launches` makes `kernel[grid](…)` report instead of compile and launch (tracer);
`interpreted` turns clean kernel source into functions that Triton's interpreter runs (interpreter process).
"""

import builtins
import importlib
import inspect
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from sandbox.kernel_language import BUILTINS
from sandbox.types import Target

MIN_VERSION, END_VERSION = (3, 6), (3, 10)
DEVICE = {
    "name": "NVIDIA H100 80GB HBM3", "multi_processor_count": 132, "major": 9, "minor": 0, "total_memory": 80 << 30,
    "L2_cache_size": 50 << 20, "shared_memory_per_block_optin": 232448, "shared_memory_per_multiprocessor": 233472,
    "warp_size": 32, "regs_per_multiprocessor": 65536, "max_threads_per_multi_processor": 2048, "is_integrated": 0,
    "gcnArchName": "",
}  # fmt: skip
"""What a candidate is told about the device when there is none: honest kernels choose their grids by it."""


def check_version() -> None:
    """Raises:
    RuntimeError: this Triton's private interfaces are not known to us.
    """
    version = tuple(int(part) for part in triton.__version__.split(".")[:2])
    if not MIN_VERSION <= version < END_VERSION:
        raise RuntimeError(f"Triton {triton.__version__} is not supported: install triton>=3.6,<3.10")


@dataclass(frozen=True)
class RecordedLaunch:
    """One launch as the candidate asked for it."""

    function: Any
    """The JITFunction."""
    key: int
    """Same number = same specialisation of the same function."""
    ttir: str
    options: dict[str, Any]
    grid: tuple[int, int, int]
    arguments: dict[str, Any]
    """All parameters, in order of declaration, compile-time ones included."""
    constexprs: frozenset[str]


def gpu_target(target: Target) -> Any:
    """`sm_90` or `gfx942` as Triton's own target record."""
    from triton.backends.compiler import GPUTarget

    if target.startswith("sm_"):
        return GPUTarget("cuda", int(target[3:]), 32)
    return GPUTarget("hip", target, 64)


class _Driver:
    """Stands in for the GPU driver while tracing: there is a target, but no device."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self.utils = SimpleNamespace(
            get_device_properties=lambda device: {
                "max_shared_mem": DEVICE["shared_memory_per_block_optin"],
                "multiprocessor_count": DEVICE["multi_processor_count"],
                "warpSize": target.warp_size,
                "max_num_regs": DEVICE["regs_per_multiprocessor"],
                "sm_clock_rate": 1980000,
                "mem_clock_rate": 2619000,
                "mem_bus_width": 5120,
            }
        )

    def get_current_target(self) -> Any:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def set_current_device(self, device: int) -> None:
        pass

    def get_current_stream(self, device: int | None = None) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cuda", 0)

    def get_device_interface(self) -> Any:
        return torch.cuda

    def get_benchmarker(self) -> Callable[..., list[float]]:
        return lambda function, **kwargs: [1.0, 1.0, 1.0]

    def get_empty_cache_for_benchmark(self) -> None:
        return None

    def clear_cache(self, cache: Any) -> None:
        pass


class _Lowered:
    """What `JITFunction.run` needs of a compiled kernel."""

    function = None
    packed_metadata = None

    def __init__(self, key: int, source: Any, ttir: str, options: dict[str, Any], report: Callable[[RecordedLaunch], None]):
        self.key, self.source, self.ttir, self.options, self.report = key, source, ttir, options, report

    def launch_metadata(self, grid: Any, stream: Any, *args: Any) -> None:
        return None

    def run(self, x: int, y: int, z: int, stream: Any, function: Any, packed: Any, meta: Any, enter: Any, leave: Any, *args: Any) -> None:
        parameters = self.source.fn.params
        self.report(
            RecordedLaunch(
                function=self.source.fn,
                key=self.key,
                ttir=self.ttir,
                options=self.options,
                grid=(int(x), int(y), int(z)),
                arguments=dict(zip([p.name for p in parameters], args, strict=True)),
                constexprs=frozenset(p.name for p in parameters if p.is_constexpr),
            )
        )


_KEPT_OPTIONS = ("num_warps", "num_stages", "num_ctas", "maxnreg", "waves_per_eu", "matrix_instr_nonkdim", "kpack")


def record_launches(target: Target, report: Callable[[RecordedLaunch], None]) -> None:
    """From now on this process records launches for `target` instead of compiling and launching. For good."""
    import triton.compiler

    lowered: dict[str, tuple[int, str]] = {}

    def lower(source: Any, target: Any = None, options: Any = None, _env_vars: Any = None) -> _Lowered:
        options = dict(options or {})
        memo = f"{source.hash()}{sorted((k, str(v)) for k, v in options.items())}"
        if memo not in lowered:
            lowered[memo] = (len(lowered), _ttir(source, target, options))
        key, ttir = lowered[memo]
        kept = {name: options[name] for name in _KEPT_OPTIONS if isinstance(options.get(name), int)}
        return _Lowered(key, source, ttir, kept, report)

    triton.compiler.compile = lower
    triton.runtime.driver.set_active(_Driver(gpu_target(target)))


def _ttir(source: Any, target: Any, options: dict[str, Any]) -> str:
    """AST → Triton IR text, after Triton's own first stage (inlining, canonical form)."""
    from triton._C.libtriton import ir
    from triton.backends.compiler import Language
    from triton.compiler.compiler import make_backend

    backend = make_backend(target)
    parsed = backend.parse_options(options)
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    module = source.make_ir(target, parsed, backend.get_codegen_implementation(parsed), backend.get_module_map(), context)
    stages: dict[str, Any] = {}
    backend.add_stages(stages, parsed, Language.TRITON)
    return str(stages["ttir"](module, {}).str_nodebug())


def is_jit_function(value: Any) -> bool:
    return isinstance(value, triton.runtime.jit.JITFunction)


def globals_of(function: Any) -> dict[str, Any]:
    """Module and closure values that a jit function's body may read, by name, callees included."""
    found: dict[str, Any] = {}
    queue, seen = [function], set()
    while queue:
        current = queue.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        raw = current.fn
        visible = {**raw.__globals__, **inspect.getclosurevars(raw).nonlocals}
        for name in raw.__code__.co_names + raw.__code__.co_freevars:
            if name in visible:
                found[name] = visible[name]
                if is_jit_function(visible[name]):
                    queue.append(visible[name])
    return found


def interpreted(source: str, names: tuple[str, ...], aliases: dict[str, str], constants: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Clean kernel source → launchable functions under Triton's interpreter. `TRITON_INTERPRET=1` must have been set
    before Triton was imported; the builtins are those of `kernel_language` alone.
    """
    allowed = {name: getattr(builtins, name) for name in BUILTINS}
    namespace: dict[str, Any] = {"__builtins__": allowed, "__name__": "kernels", **constants}
    for name, target in aliases.items():
        namespace[name] = _resolve(target)
    path = scratch / "kernels.py"
    path.write_text(source)
    linecache.checkcache(str(path))
    exec(compile(source, str(path), "exec"), namespace)  # clean source: see kernel_source
    found = {name: triton.jit(namespace[name]) for name in names}
    namespace.update(found)
    return found


def _resolve(target: str) -> Any:
    module, _, attribute = target.partition(":")
    if "libdevice" in module:
        return getattr(_LIBDEVICE, attribute) if attribute else _LIBDEVICE
    found = importlib.import_module(module)
    if attribute == "libdevice":
        return _LIBDEVICE
    return getattr(found, attribute) if attribute else found


class _Libdevice:
    """Libdevice functions for the interpreter, which has none: computed by torch in float64, rounded once."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = _LIBDEVICE_FUNCTIONS.get(name.removeprefix("fast_").removesuffix("f") if name.startswith("fast_") else name)
        if function is None:
            raise NotImplementedError(f"libdevice.{name} is not available in the interpreter")

        def call(*args: Any, _semantic: Any = None) -> Any:
            tensors = [a for a in args if isinstance(a, tl.tensor)]
            arrays = [a.handle.data if isinstance(a, tl.tensor) else np.asarray(getattr(a, "value", a)) for a in args]
            computed = function(*(torch.as_tensor(np.asarray(a, dtype=np.float64)) for a in arrays)).numpy()
            model = max(tensors, key=lambda t: t.handle.data.size)
            boolean = computed.dtype == np.bool_
            handle_type = tl.int32 if boolean else model.handle.dtype
            data = computed.astype(np.int32 if boolean else model.handle.data.dtype)
            kind = tl.block_type(tl.int32, model.type.shape) if boolean and model.type.is_block() else tl.int32 if boolean else model.type
            return tl.tensor(type(model.handle)(data, handle_type), kind)

        return call


_LIBDEVICE = _Libdevice()
_LIBDEVICE_FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    **{name: getattr(torch, name) for name in (
        "abs acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh erf erfc erfinv exp exp2 expm1 floor fmod hypot "
        "isinf isnan ldexp lgamma log log10 log1p log2 nextafter pow remainder round rsqrt signbit sin sinh sqrt tan tanh trunc"
    ).split()},
    "rint": torch.round, "nearbyint": torch.round, "tgamma": lambda x: torch.lgamma(x).exp(), "exp10": lambda x: 10.0**x,
    "div_rn": torch.div, "fma": lambda a, b, c: a * b + c, "normcdf": torch.special.ndtr, "sqrt_rn": torch.sqrt,
    "cbrt": lambda x: x.sign() * x.abs() ** (1 / 3), "rcbrt": lambda x: x.sign() * x.abs() ** (-1 / 3), "fdim": lambda a, b: (a - b).clamp_min(0),
    "finitef": torch.isfinite, "saturatef": lambda x: x.clamp(0, 1), "dividef": torch.div,
}  # fmt: skip
