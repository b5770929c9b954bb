"""Triton's private interfaces, tracing half: `kernel[grid](…)` reports instead of compiling and launching.

Everything that touches what Triton does not promise sits in modules named `triton_*`, behind `check_version`:
this one, `triton_interpreter` and `triton_compile`. Triton 3.6 to 3.9.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import triton

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
    """What `JITFunction.run` needs of a compiled kernel, and what honest host code asks of one to size its grid."""

    function = None
    packed_metadata = None
    n_regs, n_spills = 64, 0  # plausible, not measured: there is no device, and the grid must be right for any answer

    def __init__(
        self, key: int, source: Any, ttir: str, options: dict[str, Any], report: Callable[[RecordedLaunch], None]
    ):
        self.key, self.source, self.ttir, self.options, self.report = key, source, ttir, options, report
        self.metadata = SimpleNamespace(shared=1024, num_warps=4, num_stages=3, num_ctas=1, name=source.name)
        vars(self.metadata).update(options)

    def _init_handles(self) -> None:
        pass

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        """`kernel.warmup(…)[grid](…)`: all parameters, or all but the compile-time ones."""

        def launch(*args: Any) -> None:
            x, y, z = (*grid, 1, 1)[:3]
            names, given = [p.name for p in self.source.fn.params], list(args)
            if len(given) < len(names):
                fixed = {names[path[0]]: value for path, value in self.source.constants.items() if len(path) == 1}
                constexprs = {p.name for p in self.source.fn.params if p.is_constexpr}
                given = [fixed.get(n) if n in constexprs else given.pop(0) for n in names]
            self.run(x, y, z, 0, None, None, None, None, None, *given)

        return launch

    def launch_metadata(self, grid: Any, stream: Any, *args: Any) -> None:
        return None

    def run(
        self,
        x: int,
        y: int,
        z: int,
        stream: Any,
        function: Any,
        packed: Any,
        meta: Any,
        enter: Any,
        leave: Any,
        *args: Any,
    ) -> None:
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
    module = source.make_ir(
        target, parsed, backend.get_codegen_implementation(parsed), backend.get_module_map(), context
    )
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
