"""What the gate lets into the compiler: everything honest, and nothing that it says it stops."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sample_kernels import ZOO, lower, lower_source, named, parse, simple_ir
from triton.compiler.compiler import make_backend

from sandbox import references, wire
from sandbox.bench import corpus
from sandbox.local import LocalSandbox
from sandbox.pool import run_untrusted
from sandbox.triton_private.compile import GPU_TARGETS, CompileError, compile_ttir
from sandbox.triton_private.gate import OPTIONS, REFUSED, GateError, gate, gate_options
from sandbox.types import Case, Limits


@pytest.mark.parametrize("staged", [False, True], ids=["frontend", "inlined"])
@pytest.mark.parametrize("name", ZOO)
def test_what_the_language_emits_passes(name: str, staged: bool, tmp_path: Path) -> None:
    ttir = lower_source(ZOO[name], staged)
    found = gate(parse(ttir, tmp_path))
    assert found.name == ZOO[name].fn.__name__
    arguments = re.search(r"tt\.func public @\w+\((.*)\) attributes", ttir)
    assert arguments is not None
    plain = re.sub(r" \{[^}]*\}", "", arguments[1])
    assert [f"%arg{n}: {kind}" for n, kind in enumerate(found.parameters)] == plain.split(", ")


def trace(sandbox: LocalSandbox, candidate: str, entry_point: str, reference: str, case: Case) -> list[dict[str, Any]]:
    """Kernels that a candidate launches on one case, with their IR."""
    judge = sandbox.judges.get()
    request: dict[str, Any] = {"reference": reference, "entry_point": entry_point, "cases": [case.model_dump()]}
    described = judge.ask({"op": "describe", **request}, 60.0)[0]["cases"]
    sandbox.judges.put(judge)
    request = {"candidate": candidate, "entry_point": entry_point, "target": "sm_90", "cases": described, "ttir": True}
    (plan,) = wire.loads(run_untrusted(sandbox.tracer, request, 30.0, 2048, ()).reply)["plans"]
    return [kernel for kernel in plan["kernels"] if isinstance(kernel, dict)]


@pytest.mark.parametrize("candidate", corpus.candidates(corpus.HONEST), ids=lambda candidate: candidate.path.stem)
def test_honest_kernels_pass(sandbox: LocalSandbox, candidate: corpus.Candidate, tmp_path: Path) -> None:
    job = corpus.job(candidate, Limits())
    kernels = trace(sandbox, job.candidate, job.entry_point, job.reference, job.cases[0])
    assert kernels
    assert all(gate(parse(kernel["ttir"], tmp_path)).parameters for kernel in kernels)


@pytest.mark.parametrize("name", references.names())
def test_expert_kernels_pass(sandbox: LocalSandbox, name: str, tmp_path: Path) -> None:
    task = references.load(name, "cpu")
    kernels = trace(sandbox, task.expert, task.entry_point, task.reference, task.cases[0])
    assert kernels and all(gate(parse(kernel["ttir"], tmp_path)).parameters for kernel in kernels)


EXTERN = "%planted = tt.extern_elementwise %n {{libname = {}, libpath = {}, pure = true, symbol = {}}} : (i32) -> i32"
CONDITION = "%yes = arith.constant true\n"
PLANTED = {
    "tt.int_to_ptr": "%c = arith.constant 7 : i64\n%planted = tt.int_to_ptr %c : i64 -> !tt.ptr<f32>",
    "tt.int_to_ptr ": '%c = arith.constant 7 : i64\n%planted = "tt.int_to_ptr"(%c) : (i64) -> !tt.ptr<f32>',
    "tt.ptr_to_int": "%planted = tt.ptr_to_int %x : !tt.ptr<f32> -> i64",
    "tt.elementwise_inline_asm": '%planted = tt.elementwise_inline_asm "mov.u32 $0, %clock;" '
    '{constraints = "=r", packed_element = 1 : i32, pure = false} -> i32',
    "llvm.inline_asm": 'llvm.inline_asm has_side_effects "trap;", "" : () -> ()',
    "llvm.call_intrinsic": '%planted = llvm.call_intrinsic "llvm.nvvm.read.ptx.sreg.globaltimer"() : () -> i64',
    "nvvm.read.ptx.sreg.tid.x": "%planted = nvvm.read.ptx.sreg.tid.x : i32",
    "builtin.unrealized_conversion_cast": "%planted = builtin.unrealized_conversion_cast %n : i32 to !tt.ptr<f32>",
    "tt.print": 'tt.print "x: " {hex = false, isSigned = array<i32: 1>} : %n : i32',
    "tt.assert": CONDITION + 'tt.assert %yes, "no" : i1',
    "cf.assert": CONDITION + 'cf.assert %yes, "no"',
    "scf.execute_region": "scf.execute_region { scf.yield }",
    "gpu.thread_id": "%planted = gpu.thread_id x",
    "ttg.async_wait": '%planted = "ttg.async_wait"() <{num = 0 : i32}> : () -> !ttg.async.token',
    "ttng.fence_async_shared": "ttng.fence_async_shared {bCluster = false}",
    "llvm.intr.assume": CONDITION + 'llvm.intr.assume %yes ["align"(%n, %n : i32, i32)] : i1',
    "vprintf of": EXTERN.format('""', '""', '"vprintf"'),
    "llvm.nvvm.exit of": EXTERN.format('""', '""', '"llvm.nvvm.exit"'),
    "__ockl_hostcall_internal of": EXTERN.format('""', '""', '"__ockl_hostcall_internal"'),
    "__triton_hip_load of": EXTERN.format('""', '""', '"__triton_hip_load"'),
    "__nv_abs of libcuda": EXTERN.format('"libcuda"', '""', '"__nv_abs"'),
    "__nv_abs of /etc/passwd": EXTERN.format('""', '"/etc/passwd"', '"__nv_abs"'),
    "'malloc', a name": "%planted = tt.call @malloc(%n) : (i32) -> !tt.ptr<i8>",
}
"""What the reason names → lines that do it, in a kernel with a pointer `%x` and an integer `%n`."""
CALLEE = "tt.func private @m.f__i32(%a: i32) -> i32 { tt.return %a : i32 }"
CALL = "%planted = tt.call @m.f__i32(%n) : (i32) -> i32\n"
END = "    tt.return\n  }\n"
AROUND = {
    "found 2": (END, END + "tt.func public @second() { tt.return }\n"),
    "does not call": (END, END + CALLEE),
    "call itself": (END, CALL + END + CALLEE.replace("tt.return", CALL.replace("%n", "%a") + "tt.return")),
    "has no body": (END, CALL + END + "tt.func private @m.f__i32(i32) -> i32\n"),
    "a name that Triton does not give": (
        END,
        CALL.replace("m.f", "llvm.a.b") + END + CALLEE.replace("m.f", "llvm.a.b"),
    ),
    "2 modules": (END, END + "module { }\n"),
    "llvm.func is of the lower level": (END, END + "llvm.func @malloc(i64) -> !llvm.ptr\n"),
    "llvm.mlir.global is of the lower level": (END, END + "llvm.mlir.global external @g(0 : i32) : i32\n"),
    "builtin.module has a name or attributes": ("module {", 'module attributes {"ttg.shared" = 1 : i32} {'),
    "builtin.module has a name": ("module {", "module @other {"),
    "attributes other than hints": ("noinline = false", 'noinline = false, passthrough = ["optnone"]'),
    "attributes other than hints ": ("%n: i32", "%n: i32 {tt.nv_tma_desc = 1 : i32}"),
    "parameter 2 of the kernel has type tensor<4xi32>": ("%n: i32", "%n: i32, %planted: tensor<4xi32>"),
    "parameter 2 of the kernel has type index": ("%n: i32", "%n: i32, %planted: index"),
    "parameter 2 of the kernel has type !llvm.ptr": ("%n: i32", "%n: i32, %planted: !llvm.ptr"),
    "parameter 2 of the kernel has type memref<4xf32>": ("%n: i32", "%n: i32, %planted: memref<4xf32>"),
    "letters, digits": ("@simple", '@"a$ b"'),
}
"""What the reason says → what is replaced in the kernel, and by what."""


@pytest.mark.parametrize("name", PLANTED)
def test_planted_operation_is_refused(name: str, tmp_path: Path) -> None:
    ttir = simple_ir().replace("    tt.return", f"{PLANTED[name]}\n    tt.return")
    if "malloc" in name:
        ttir = ttir.rstrip()[:-1] + "tt.func private @malloc(i32) -> !tt.ptr<i8>\n}"
    with pytest.raises(CompileError, match=re.escape(name.strip())) as caught:
        compile_ttir(ttir, "sm_90", {}, tmp_path)
    assert re.search(r"^operation .*[;,] ", caught.value.reason), "names the operation and the cure"
    assert "\n" not in caught.value.reason
    assert not list(tmp_path.glob("*.ptx"))


@pytest.mark.parametrize("symbol", ["__nv_abs", "__ocml_log1p_f32", "__ockl_popcount_u32", "__triton_hip_rint"])
def test_functions_of_libdevice_pass(symbol: str, tmp_path: Path) -> None:
    planted = EXTERN.format('""', '""', f'"{symbol}"')
    assert gate(parse(simple_ir().replace("    tt.return", f"{planted}\n    tt.return"), tmp_path)).parameters


@pytest.mark.parametrize("reason", AROUND)
def test_what_stands_around_the_kernel_is_refused(reason: str, tmp_path: Path) -> None:
    old, new = AROUND[reason]
    text = simple_ir().replace(old, new)
    assert text != simple_ir()
    with pytest.raises(CompileError, match=re.escape(reason.strip())):
        compile_ttir(text, "sm_90", {}, tmp_path)


def test_numbers_from_memory_never_become_pointers(tmp_path: Path) -> None:
    line = (
        "%q = tt.bitcast %x : !tt.ptr<f32> -> !tt.ptr<!tt.ptr<f32>>\n%planted = tt.load %q : !tt.ptr<!tt.ptr<f32>>\n"
        "tt.store %planted, %f : !tt.ptr<f32>"
    )
    ttir = simple_ir().replace("    tt.return", f"%f = arith.constant 1.0 : f32\n{line}\n    tt.return")
    with pytest.raises(CompileError, match=r"the type !tt\.ptr<!tt\.ptr<f32>>|pointer types must point to"):
        compile_ttir(ttir, "sm_90", {}, tmp_path)


def test_pointers_to_other_memories_are_refused(tmp_path: Path) -> None:
    for space in ("3", '"shared"'):  # Triton numbers address spaces or names them, by version
        ttir = simple_ir().replace("!tt.ptr<f32>", f"!tt.ptr<f32, {space}>")
        with pytest.raises(CompileError, match=r"the type !tt\.ptr<f32, 3>|expected|address space"):
            compile_ttir(ttir, "sm_90", {}, tmp_path)


def test_operations_of_amd_are_refused(tmp_path: Path) -> None:
    ttir = simple_ir().replace("    tt.return", "rocdl.s.barrier\n    tt.return")
    with pytest.raises(CompileError, match=r"operation rocdl\.s\.barrier is of the lower level 'rocdl'"):
        compile_ttir(ttir, "gfx942", {}, tmp_path)


def test_comments_and_strings_are_no_operations(tmp_path: Path) -> None:
    ttir = simple_ir().replace("    tt.return", "    // tt.int_to_ptr\n    tt.return")
    assert gate(parse(ttir, tmp_path)).name == "simple"


def test_options_that_run_or_read_something_cannot_get_in() -> None:
    for target in GPU_TARGETS.values():
        known = set(vars(make_backend(target).parse_options({})))
        foreign = {
            "extern_libs",
            "ptx_options",
            "ir_override",
            "instrumentation_mode",
            "debug",
            "arch",
            "llvm_fn_attrs",
        }
        assert not foreign & OPTIONS.keys()
        for name in known - OPTIONS.keys():
            with pytest.raises(GateError, match=name):
                gate_options({name: "x"})


def test_options_are_checked_and_flags_are_booleans() -> None:
    given_options = {"num_warps": 8, "maxnreg": None, "enable_fp_fusion": 0, "launch_pdl": False}
    assert gate_options(given_options) == {"num_warps": 8, "enable_fp_fusion": False}
    wrong = {"num_warps": 0, "num_stages": 65, "num_ctas": "4", "maxnreg": 1.5, "launch_pdl": True}
    for name, value in wrong.items():
        with pytest.raises(GateError, match=name):
            gate_options({name: value})


FORBIDDEN = sorted(
    {name.split()[0] for name in PLANTED if "." in name.split()[0]} - {"llvm.intr.assume", "llvm.nvvm.exit"}
)
BASES = [simple_ir(), named(lower("softmax", staged=True)), named(lower_source(ZOO["loops"], staged=False))]
WORDS = sorted(
    {word for text in (*BASES, *PLANTED.values()) for word in re.findall(r"[%@!\w.]+", text)} | REFUSED.keys()
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """IR of a real kernel after one to four edits: operations planted; lines doubled or dropped; words, any text."""
    text = draw(st.sampled_from(BASES))
    for edit in range(draw(st.integers(1, 4))):
        lines = text.split("\n")
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["plant", "drop", "double", "word", "text"]))
        if kind == "plant":
            inside = [n for n, line in enumerate(lines) if " = " in line or "tt.return" in line] or [0]
            at, planted = draw(st.sampled_from(inside)), draw(st.sampled_from(sorted(PLANTED.values())))
            lines.insert(at, re.sub(r"%(planted|yes|c)\b", rf"%\g<1>{edit}", planted))
        elif kind == "drop":
            del lines[at]
        elif kind == "double":
            lines.insert(at, lines[at])
        elif kind == "word":
            words = re.split(r"([%@!\w.]+)", lines[at])
            if len(words) > 1:
                words[draw(st.integers(0, len(words) // 2 - 1)) * 2 + 1] = draw(st.sampled_from(WORDS))
            lines[at] = "".join(words)
        else:
            lines[at] += draw(st.text(max_size=20))
        text = "\n".join(lines)
    return text


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=st.one_of(mutated(), st.text()))
@example(text=simple_ir())
@example(text="module {" * 5000)
@example(text=simple_ir().replace("@simple", '@"\\FF\\00"'))
@example(text=simple_ir().replace("module {", "module {" + "scf.execute_region {" * 2000))
def test_hostile_text_gets_nothing_through_and_harms_nobody(sandbox: LocalSandbox, text: str) -> None:
    request = {"kernels": [{"name": "k", "ttir": text, "options": {}}], "target": "sm_90", "static": False}
    outcome = run_untrusted(sandbox.compiler, request, 20.0, 2048, ())
    reply = wire.loads(outcome.reply) if outcome.reply else {}
    if text == simple_ir():
        assert reply["binaries"]
    if reply.get("binaries"):
        code = re.sub(r'//.*|"(?:tt\.reduce)"|"(?:[^"\\]|\\.)*"', lambda m: m[0] if m[0] == '"tt.reduce"' else "", text)
        assert not [name for name in FORBIDDEN if name in code]
    else:
        assert not outcome.reply or reply["rejected"]["stage"] == "compile"
