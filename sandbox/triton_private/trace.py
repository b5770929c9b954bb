"""Triton's private interfaces, tracing half: `kernel[grid](…)` reports instead of compiling and launching.

Everything that touches what Triton does not promise sits in this package, behind `check_version`. Triton 3.6 to 3.9.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import triton

from sandbox.plans.plan import MAX_VARIANTS
from sandbox.triton_private.device import StandInDriver, gpu_target
from sandbox.types import Target

MIN_VERSION, END_VERSION = (3, 6), (3, 10)
KEPT_OPTIONS = (
    "num_warps", "num_stages", "num_ctas", "maxnreg", "enable_fp_fusion", "launch_cooperative_grid",
    "waves_per_eu", "matrix_instr_nonkdim", "kpack", "allow_flush_denorm",
)  # fmt: skip
"""Compile options that the plan carries."""
IDLE_OPTIONS = ("sanitize_overflow",)
"""Compile options without effect: that one asserts, which only happens under `debug`."""
IR_OPTIONS = (
    "default_dot_input_precision", "allowed_dot_input_precisions", "supported_fp8_dtypes",
    "deprecated_fp8_dot_operand_dtypes", "max_num_imprecise_acc_default",
)  # fmt: skip
"""Compile options that only Triton's frontend reads; the plan carries numbers that are not the usual ones."""


class UnsupportedOptionError(Exception):
    """A compile option that would bring in foreign code, or that the replayer does not honour."""


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
    signature: dict[str, Any]
    """Triton's type of every parameter: `i32`, `*fp32`, `constexpr`, …, or a tuple of them."""


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
                grid=_programs(x, y, z),
                arguments=dict(zip([p.name for p in parameters], args, strict=True)),
                signature=dict(self.source.signature),
            )
        )


def _programs(x: Any, y: Any, z: Any) -> tuple[int, int, int]:
    """Triton's launcher takes what is an integer by itself, numpy's too; it rounds nothing.

    Raises:
        TypeError: something is no integer.
    """
    try:
        return operator.index(x), operator.index(y), operator.index(z)
    except TypeError as error:
        raise TypeError(f"a grid has integers ({error}); write triton.cdiv(n, m) or n // m, not n / m") from error


def record_launches(
    target: Target, device: dict[str, Any], report: Callable[[RecordedLaunch], None], lower: bool = True
) -> None:
    """From now on this process records launches for `target` instead of compiling and launching. For good.

    Args:
    device: what the driver says about the device; keys as in `DEVICE`.
    lower: make Triton IR, which also finds out whether a kernel is valid Triton. Else it is empty.
    """
    import triton.compiler
    from triton.compiler.compiler import make_backend

    lowered: dict[str, tuple[int, str]] = {}
    usual = vars(make_backend(gpu_target(target)).parse_options({}))

    def compiled(source: Any, target: Any = None, options: Any = None, _env_vars: Any = None) -> _Lowered:
        options = dict(options or {})
        _check_options(options, usual)
        memo = f"{source.hash()}{sorted((k, str(v)) for k, v in options.items())}"
        if memo not in lowered:
            lowered[memo] = (len(lowered), _ttir(source, target, options) if lower else "")
        key, ttir = lowered[memo]
        kept = {name: options[name] for name in KEPT_OPTIONS if isinstance(options.get(name), int)}
        kept |= {name: options[name] for name in IR_OPTIONS if options.get(name) != usual.get(name)}
        if not kept.get("launch_cooperative_grid"):
            kept.pop("launch_cooperative_grid", None)
        return _Lowered(key, source, ttir, kept, report)

    triton.compiler.compile = compiled
    triton.runtime.driver.set_active(StandInDriver(gpu_target(target), device))


def _check_options(options: dict[str, Any], usual: dict[str, Any]) -> None:
    """Raises:
    UnsupportedOptionError: an option that is not carried differs from what it usually is.
    """
    for name, value in sorted(options.items(), key=lambda item: item[0] in IR_OPTIONS):  # those follow from others
        carried = name in KEPT_OPTIONS or (name in IR_OPTIONS and isinstance(value, int))
        if carried or name in IDLE_OPTIONS or value == usual.get(name):
            continue
        why = {
            "launch_pdl": "kernels that overlap (programmatic dependent launch) are not replayed",
            "extern_libs": "foreign libraries may not be linked in",
            "ir_override": "foreign IR may not be put in",
            "ptx_options": "the assembler's options are fixed",
            "debug": "kernels run without device asserts",
        }.get(name, "it is not carried over to the compiler")
        raise UnsupportedOptionError(f"leave out the compile option {name}: {why}")


class Tuning:
    """From now on every autotuner takes configuration `variant` of those that its pruning leaves (the last if there are
    fewer), without timing any, and without the hooks that only serve the timing. As Triton's, it prunes when it meets a
    key, and keeps to that from then on, in later calls too, whatever other arguments are. For good.

    If they are to be `apart`, the second autotuner that is met takes the next configuration, the third the next but
    one, and so on, the first one after the last: each chooses for itself.

    With a `trial` it launches that configuration first, once for each key of a call, with those hooks: what Triton's
    does before the first launch of a key, on the arguments themselves.
    """

    def __init__(self, variant: int, trial: int | None = None, apart: bool = False) -> None:
        from triton.runtime.autotuner import Autotuner

        self.variant, self.trial, self.apart = variant, trial, apart
        self.most = 1
        """How many configurations the autotuner with the most had, of at most `MAX_VARIANTS`."""
        self.pruned: dict[Any, list[Any]] = {}
        self.tried: set[Any] = set()
        self.met: dict[Any, int] = {}
        """Autotuners with several configurations, in order."""
        Autotuner.run = lambda tuner, *args, **kwargs: self._run(tuner, args, kwargs)

    def begin(self) -> None:
        """A new call begins."""
        self.tried.clear()

    def _run(self, tuner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tuner.nargs = dict(zip(tuner.arg_names, args, strict=False))
        given = {**tuner.nargs, **kwargs}
        key = _key(tuner, given)
        configs = self._configs(tuner, key, kwargs)
        self.most = max(self.most, len(configs))
        config = configs[self._chosen(tuner, len(configs))]
        other = configs[min(self.trial or 0, len(configs) - 1)]
        if conflicts := kwargs.keys() & config.kwargs.keys():
            raise ValueError(f"arguments given by the caller and by autotuning: {', '.join(sorted(conflicts))}")
        chosen = config.all_kwargs()
        try:
            if self.trial is not None and len(configs) > 1 and key not in self.tried:
                self.tried.add(key)
                self._try(tuner, other, args, kwargs)
                tuner.pre_hook({**given, **chosen}, reset_only=True)
            if config.pre_hook is not None:
                config.pre_hook({**given, **chosen})
            tuner.best_config = config
            return tuner.fn.run(*args, **kwargs, **chosen)
        finally:
            tuner.nargs = None

    def _chosen(self, tuner: Any, count: int) -> int:
        """Which of so many configurations it takes."""
        if count == 1:
            return 0
        position = self.met.setdefault(tuner, len(self.met))
        return (self.variant + position) % count if self.apart else min(self.variant, count - 1)

    def _configs(self, tuner: Any, key: Any, kwargs: dict[str, Any]) -> list[Any]:
        """What pruning left of the configurations when the key was met first."""
        if len(tuner.configs) < 2:
            return list(tuner.configs)
        if key not in self.pruned:
            configs = list(tuner.prune_configs(kwargs))[:MAX_VARIANTS]
            if not configs:
                raise ValueError("pruning leaves no configuration of the autotuned kernel")
            self.pruned[key] = configs
        return self.pruned[key]

    def _try(self, tuner: Any, config: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = config.all_kwargs()
        given = {**tuner.nargs, **kwargs, **values}
        if config.pre_hook is not None:
            config.pre_hook(given)
        tuner.pre_hook(given)
        tuner.fn.run(*args, **kwargs, **values)
        tuner.post_hook(given, exception=None)


def _key(tuner: Any, given: dict[str, Any]) -> Any:
    """What Triton's chooses a configuration for, once."""
    known = {name: value for name, value in given.items() if name in tuner.arg_names}
    dtypes = [str(value.dtype) for value in known.values() if hasattr(value, "dtype")]
    return (tuner, *(str(known[name]) for name in tuner.keys if name in known), *dtypes)


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


def forget_functions() -> None:
    """Jit functions made so far are no longer known by name."""
    registry = vars(triton.runtime.jit).get("_triton_jit_function_registry", {})  # Triton 3.7 and later
    registry.clear()


def is_jit_function(value: Any) -> bool:
    return isinstance(value, triton.runtime.jit.JITFunction)
