"""Which Triton IR may be compiled, with which launch options.

The IR: one kernel of the operations that `triton.language` lowers to, and nothing else. Decided on the parsed module
with Triton's MLIR bindings (generic form, odd spacing, aliases: all the same there), in the isolated compile child.

Stops:
1. operations outside the list: inline assembly, pointers from numbers, numbers from pointers, printing, assertions,
   clocks (polling with a timeout, inline assembly), programmatic dependent launch, and every lower level (Gluon's
   `ttg`, `ttng`, `amdg`; `nvws`, `llvm`, `nvvm`, `rocdl`, `gpu` memory), conversions between levels included;
2. calls out of the module: functions without a body (`malloc`, `vprintf` are known to ptxas), external functions other
   than those of libdevice and ocml, names that LLVM or ptxas would take for their own;
3. pointers to pointers, with which a number in memory could be loaded as an address (Triton 3.6 still parses them),
   and pointers to other address spaces;
4. attributes on the module or on functions that speak to the compiler: sizes of scratch or shared memory that are not
   true, LLVM function attributes.

`tt.ptr_to_int` is refused although it harms nothing by itself: what a kernel computes must not depend on where its
buffers lie, which is how checked and timed launches could be told apart. fp8e4b15 is made with inline assembly by
Triton itself and is refused with it.

Not stopped here: a pointer argument plus any offset (guard bands and unmapped surroundings do that), endless loops
(deadlines), hints that are not true (`tt.divisibility`; the launch faults), other attributes of operations.
"""

import graphlib
import re
from typing import Any, NamedTuple

TENSOR_OPERATIONS = """
    addptr advance approx_divf atomic_cas atomic_load atomic_rmw atomic_store bitcast broadcast call cat clampf
    descriptor_gather descriptor_load descriptor_reduce descriptor_scatter descriptor_store dot dot_scaled expand_dims
    extern_elementwise fp_to_fp func gather get_num_programs get_program_id histogram join load make_range
    make_tensor_descriptor make_tensor_ptr map_elementwise map_elementwise.return mulhiui precise_divf precise_sqrt
    reduce reduce.return reshape return scan scan.return splat split store trans unsplat
    """.split()
"""Of the dialect `tt`; those of Triton 3.6 to 3.9."""
ALLOWED = frozenset(
    [f"tt.{name}" for name in TENSOR_OPERATIONS]
    + [f"scf.{name}" for name in ("condition", "for", "if", "while", "yield")]
    + ["builtin.module", "cf.br", "cf.cond_br", "ub.poison"]
    + ["llvm.intr.assume"]  # tl.assume
    + ["gpu.barrier", "ttg.barrier", "ttg.local_barrier"]  # tl.debug_barrier, by version
)
PURE_DIALECTS = ("arith", "math")
"""Arithmetic on values: all of their operations are allowed."""

NO_ASSEMBLY = "write it in triton.language operations, without tl.inline_asm_elementwise or tl.extra.cuda helpers"
NO_ADDRESS = "address memory by pointer arguments and offsets"
NO_LAUNCH = "leave out tl.extra.cuda.gdc_*"
REFUSED = {
    "tt.elementwise_inline_asm": ("is inline assembly", NO_ASSEMBLY),
    "ttg.inline_asm": ("is inline assembly", NO_ASSEMBLY),
    "llvm.inline_asm": ("is inline assembly", NO_ASSEMBLY),
    "tt.int_to_ptr": ("makes a pointer of a number", NO_ADDRESS),
    "tt.ptr_to_int": ("makes a number of a pointer", f"results must not depend on addresses, so {NO_ADDRESS}"),
    "builtin.unrealized_conversion_cast": ("converts anything to anything", "use tl.cast"),
    "tt.print": ("prints from the device", "leave out tl.device_print"),
    "tt.assert": ("asserts on the device", "leave out tl.device_assert and debug=True"),
    "cf.assert": ("asserts on the device", "leave out tl.device_assert and debug=True"),
    "tt.atomic_poll": ("waits by the clock", "loop over tl.atomic_load or tl.atomic_add instead"),
    "tt.grid_dependency_wait": ("needs programmatic dependent launch", NO_LAUNCH),
    "tt.grid_dependency_launch_dependents": ("needs programmatic dependent launch", NO_LAUNCH),
}
"""What an operation does and how to do without it."""
LOWER_LEVELS = frozenset("ttg ttng gluon amdg amdgpu nvws nvgpu gpu llvm nvvm rocdl proton".split())

SCALAR = r"(?:[su]?i\d{1,3}|index|f16|bf16|f32|f64|tf32|f\dE\w{1,10})"
POINTER = rf"!tt\.ptr<{SCALAR}>"
BLOCK = rf"tensor<(?:\d+x)*{SCALAR}>"
DESCRIPTOR = rf"!tt\.tensordesc<(?:{BLOCK}|(?:\d+x)+{SCALAR})>"
_TYPE = re.compile(rf"{SCALAR}|{POINTER}|tensor<(?:\d+x)*{POINTER}>|{BLOCK}|!tt\.ptr<{BLOCK}>|{DESCRIPTOR}")
_PARAMETER = re.compile(rf"(?!index){SCALAR}|{POINTER}|{DESCRIPTOR}")
_KERNEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # LLVM aborts on some others
_CALLEE_NAME = re.compile(r'(?!llvm\.)[A-Za-z_][A-Za-z0-9_]*\.[^"\\]*__[^"\\]*')  # Triton's: module.name__types
_LIBRARY_SYMBOL = re.compile(
    r"__(?:nv|ocml)_[a-z0-9_]+|__ockl_(?:clz|popcount)_u(?:32|64)"
    r"|__triton_hip_(?:fabs|iabs|rint|llrint|fast_expf|fast_fdividef|fast_tanhf)"
)
"""Functions of libdevice; AMD's other libraries hold calls of the host too."""
_HINT = r"tt\.(?:divisibility|constancy|contiguity|pointer_range) = \d+ : i32"
_NOINLINE = r"(?: attributes \{noinline = (?:true|false)\})?"

OPTIONS = {
    "num_warps": (1, 64),
    "num_stages": (0, 64),
    "num_ctas": (1, 16),
    "maxnreg": (1, 1024),
    "enable_fp_fusion": (0, 1),
    "launch_cooperative_grid": (0, 1),
    "waves_per_eu": (0, 64),
    "matrix_instr_nonkdim": (0, 64),
    "kpack": (1, 4),
    "allow_flush_denorm": (0, 1),
}
"""Least and greatest value of each launch option; (0, 1) is a flag. `launch_pdl` is missing: a replay has no
previous kernel to overlap with, and no use for one."""
FLAG = (0, 1)


class GateError(Exception):
    """The module must not be compiled; the message is one sentence with operation and cure."""


class Gated(NamedTuple):
    """The one kernel of a module that passed."""

    name: str
    parameters: tuple[str, ...]
    """MLIR types of its parameters, in order."""


class _Function(NamedTuple):
    name: str
    public: bool
    calls: tuple[str, ...]


class _Census:
    """What a walk over the module finds. Faults are kept, not raised: a callback must not unwind through C++."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.functions: list[_Function] = []
        self.types: set[str] = set()
        self.modules = 0
        self._calls: list[str] = []

    def visit(self, op: Any) -> None:
        """One operation; those in a function's body come before the function."""
        name = op.get_name()
        operands = op.get_num_operands()
        self.types.update(str(op.get_operand(i).get_type()) for i in range(operands))
        if name == "builtin.module":
            self.modules += 1
        elif name == "tt.func":
            public = op.get_str_attr("sym_visibility") in (None, "public")
            self.functions.append(_Function(op.get_str_attr("sym_name") or "", public, tuple(self._calls)))
            self._calls = []
        elif name == "tt.call":
            self._calls.append(op.get_flat_symbol_ref_attr("callee") or "")
        elif name == "tt.extern_elementwise":
            self._check_library(op)
        elif name == "llvm.intr.assume" and operands != 1:
            self.faults.append("operation llvm.intr.assume carries more than a condition; use tl.assume(condition)")
        elif name.endswith("barrier") and name in ALLOWED and operands:
            self.faults.append(f"operation {name} has operands; use tl.debug_barrier()")
        elif name not in ALLOWED and name.split(".")[0] not in PURE_DIALECTS:
            self.faults.append(_refusal(name))

    def _check_library(self, op: Any) -> None:
        library, path, symbol = (op.get_str_attr(key) or "" for key in ("libname", "libpath", "symbol"))
        if library not in ("", "libdevice") or path or not _LIBRARY_SYMBOL.fullmatch(symbol):
            named = " ".join(filter(None, (symbol, "of", library, path)))[:100]
            self.faults.append(
                f"operation tt.extern_elementwise calls {named}; only triton.language.extra.libdevice may be called"
            )


def gate(module: Any) -> Gated:
    """The kernel of a module, as `ir.parse_mlir_module` gives it.

    Raises:
        GateError: the module holds something that a kernel must not hold.
    """
    census = _Census()
    module.walk(census.visit)
    if census.faults:
        raise GateError(census.faults[0])
    if census.modules != 1:
        raise GateError(f"the Triton IR holds {census.modules} modules; it must be one module with one kernel")
    for kind in sorted(census.types):
        if not _TYPE.fullmatch(kind):
            cure = "write the kernel in triton.language: numbers, pointers to numbers, descriptors, blocks of them"
            raise GateError(f"an operation is given the type {kind[:100]}; {cure}")
    kernel = _check_calls(census.functions)
    parameters = _check_headers(module, census.functions)[kernel]
    for position, kind in enumerate(parameters):
        if not _PARAMETER.fullmatch(kind):
            raise GateError(
                f"parameter {position} of the kernel has type {kind[:100]}; "
                "a kernel takes pointers, integers, floats and tensor descriptors"
            )
    return Gated(kernel, parameters)


def gate_options(options: dict[str, Any]) -> dict[str, int]:
    """The launch options that are set (not None), flags as bool.

    Raises:
        GateError: one is not in `OPTIONS` or out of its range.
    """
    found = {}
    for name, value in options.items():
        if value is None or (name == "launch_pdl" and not value):
            continue
        if name not in OPTIONS:
            raise GateError(f"launch option {name[:50]!r} is not supported; leave it out (known: {', '.join(OPTIONS)})")
        least, greatest = OPTIONS[name]
        if not isinstance(value, int) or not least <= value <= greatest:
            raise GateError(f"launch option {name} is {str(value)[:50]}; choose an integer from {least} to {greatest}")
        found[name] = bool(value) if OPTIONS[name] == FLAG else int(value)
    return found


def _refusal(name: str) -> str:
    dialect = name.split(".")[0]
    otherwise = ("is no operation of triton.language", "use triton.language operations")
    if dialect in LOWER_LEVELS:
        otherwise = (f"is of the lower level {dialect!r}", "write the kernel in triton.language, not in Gluon or LLVM")
    what, cure = REFUSED.get(name, otherwise)
    return f"operation {name[:100]} {what}; {cure}"


def _check_calls(functions: list[_Function]) -> str:
    """Name of the one kernel; all other functions are private, called by it directly or not, and not recursive."""
    public = [f.name for f in functions if f.public]
    if len(public) != 1:
        raise GateError(f"expected one public kernel function, found {len(public)}; compile kernels one by one")
    if not _KERNEL_NAME.fullmatch(public[0]):
        raise GateError(f"the kernel's name {public[0][:100]!r} is not of plain letters, digits and underscores")
    calls = {f.name: f.calls for f in functions}
    reached, queue = {public[0]}, [public[0]]
    while queue:
        for callee in calls[queue.pop()]:
            if callee not in calls:
                raise GateError(f"operation tt.call calls {callee[:100]!r}, which is not defined in the module")
            if callee not in reached:
                reached.add(callee)
                queue.append(callee)
    for name in calls:
        if name not in reached:
            raise GateError(f"operation tt.func defines {name[:100]!r}, which the kernel does not call; remove it")
        if name != public[0] and not _CALLEE_NAME.fullmatch(name):
            raise GateError(f"operation tt.func defines {name[:100]!r}, a name that Triton does not give; rename it")
    try:
        graphlib.TopologicalSorter(calls).prepare()
    except graphlib.CycleError as error:
        raise GateError("operation tt.call makes a function call itself; use a loop") from error
    return public[0]


def _check_headers(module: Any, functions: list[_Function]) -> dict[str, tuple[str, ...]]:
    """Parameter types of all functions, once nothing but hints is attached to module, functions and parameters.

    The bindings cannot list attributes. MLIR's own canonical text, in which strings hold no line breaks, can.
    """
    lines = module.str_nodebug().split("\n")
    if lines[0] != "module {":
        raise GateError("operation builtin.module has a name or attributes; use the IR that Triton's frontend makes")
    headers = [line for line in lines if line.startswith("  tt.func ")]
    if len(headers) != len(functions):
        raise GateError("operation tt.func stands inside another; define functions side by side")
    parameters = {}
    for header, function in zip(headers, functions, strict=True):
        types = tuple(str(kind) for kind in module.get_function(function.name).type.param_types())
        expected = ", ".join(rf"%arg{n}: {re.escape(t)}(?: \{{{_HINT}(?:, {_HINT})*\}})?" for n, t in enumerate(types))
        name = re.escape(function.name)
        visibility, results = ("public", "") if function.public else ("private", "(?: -> [^{}]*)?")
        signature = rf'{visibility} @(?:{name}|"{name}")\({expected}\){results}'
        if not re.fullmatch(rf"  tt\.func {signature}{_NOINLINE} \{{", header):
            raise GateError(
                f"operation tt.func @{function.name[:100]} has no body or attributes other than hints; "
                "use the IR that Triton's frontend makes"
            )
        parameters[function.name] = types
    return parameters
