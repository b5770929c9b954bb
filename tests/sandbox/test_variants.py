"""What the tracer writes about launches: autotune variants, argument types, compile options, the device it plays."""

from typing import Any

import pytest
import torch
from tracing import request, trace_all

from sandbox.plans import plan, plan_check

X = torch.randn(512)
KERNEL = """
import torch, triton, triton.language as tl

TUNE
@triton.jit
def kernel(x, y, n, s: tl.float32, one, none, several, wide: tl.int64, flag, B: tl.constexpr, EVEN: tl.constexpr):
    at = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + at, tl.load(x + at, mask=at < n) * s, mask=at < n)

def f(x):
    y = torch.empty_like(x)
    kernel[lambda m: (triton.cdiv(x.numel(), m["B"]),)](
        x, y, x.numel(), 2, 1, None, (3, x, 1, 2.5), 7, True, OPTIONS)
    return y
"""
TUNE = """
def timed(call, quantiles): raise AssertionError("a candidate's benchmark was called")
def hook(args): args["y"].zero_()
def prune(configs, args, **kwargs): return configs[1:]

@triton.autotune(
    configs=[triton.Config({"B": 32})] + [triton.Config({"B": 64 << i}, num_warps=4 << i) for i in range(2)]
    + [triton.Config({"B": 256}, num_stages=5, pre_hook=hook)],
    key=["n"], do_bench=timed, reset_to_zero=["y"], restore_value=["y"], prune_configs_by={"early_config_prune": prune},
)
@triton.heuristics({"EVEN": lambda a: a["n"] % a["B"] == 0})
"""
TUNED = KERNEL.replace("TUNE", TUNE).replace("OPTIONS", "")
MANY = TUNED.replace("range(2)", "range(40)").replace("4 << i", "4").replace("64 << i", "64")
AGAIN = """
    for n in (x.numel(), 128):
        kernel[lambda m: (triton.cdiv(n, m["B"]),)](x, y, n, 2, 1, None, (3, x, 1, 2.5), 7, True)
    return y
"""
BY_SIZE = TUNED.replace("configs[1:]", "[c for c in configs if c.kwargs['B'] * 8 == args['n']]")
KERNEL_ALONE = TUNED.replace("configs[1:]", "configs[1:2]")
SMALL = """
import torch, triton, triton.language as tl
@triton.jit
def kernel(x, y, B: tl.constexpr):
    at = tl.arange(0, B)
    tl.store(y + at, tl.load(x + at))
def f(x):
    y = torch.empty_like(x)
    kernel[(1,)](x, y, B=512, OPTIONS)
    return y
"""
DEVICE = SMALL.replace("def f(x):", "def f(x):\n    ASK").replace(", OPTIONS", "").replace("(1,)", "(count,)")
TWO = """
a, b = kernel, triton.autotune(configs=kernel.configs[1:3], key=[])(kernel.fn)
def f(x):
    y = torch.empty_like(x)
    for tuned in (a, b, a):
        tuned[lambda m: (triton.cdiv(512, m["B"]),)](x, y, 512, 2, 1, None, (3, x, 1, 2.5), 7, True)
    return y
"""
PAIR = TUNED.partition("def f(x):")[0] + TWO
ASK = {
    "properties": "count = torch.cuda.get_device_properties('cuda').multi_processor_count",
    "driver": "count = triton.runtime.driver.active.utils.get_device_properties(0)['multiprocessor_count']",
    "harmless": """
    count = 7; torch.cuda.empty_cache(); torch.cuda.manual_seed(3); torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.mem_get_info()[0] > 1 << 20 and torch.cuda.memory_allocated() == 0
    start, end, side = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True), torch.cuda.Stream()
    start.record(); side.wait_stream(torch.cuda.current_stream()); end.record(); end.synchronize()
    with torch.cuda.stream(side): assert start.elapsed_time(end) == 1.0""".strip(),
}
KEPT: dict[str, dict[str, int]] = {
    "num_warps=8": {"num_warps": 8},
    "num_ctas=2": {"num_ctas": 2},
    "maxnreg=64": {"maxnreg": 64},
    "enable_fp_fusion=False": {"enable_fp_fusion": False},
    "launch_cooperative_grid=True": {"launch_cooperative_grid": True},
    "launch_cooperative_grid=False": {},
    "launch_pdl=False": {},
    "sanitize_overflow=False": {},
}
REFUSED = {
    "launch_pdl=True": "kernels that overlap",
    "extern_libs={'a': '/lib/a.bc'}": "foreign libraries",
    "ptx_options='-O0'": "assembler",
    "ir_override='/tmp/x.ptx'": "foreign IR",
    "debug=True": "device asserts",
    "arch='sm80'": "not carried over",
    "warp_size=16": "not carried over",
}
Replies = dict[str, dict[str, Any]]


GRIDS = {
    "numpy.int64(3), True": [3, 1, 1], "torch.tensor(3, device='cpu').item(), 2": [3, 2, 1],
    "x.numel() / 256,": None, "'4',": None, "numpy.float32(2),": None, "1, 1, 2.0": None,
}  # fmt: skip
"""As written → as launched."""


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory) -> Replies:
    wanted = {f"variant {n}": request(TUNED, X, variant=n) for n in (0, 1, 2, 9)}
    wanted |= {f"variant {n} after {m}": request(TUNED, X, variant=n, trial=m) for n, m in ((0, 1), (0, 2), (1, 1))}
    twice = TUNED.replace("    return y", AGAIN)
    wanted |= {"twice": request(twice, X, trial=0), "not tuned": request(KERNEL_ALONE, X, trial=0)}
    for name, code in (("a key each", BY_SIZE), ("one key", BY_SIZE.replace('key=["n"]', "key=[]"))):
        cases = [case for size in (512, 1024) for case in request(code, torch.ones(size))["cases"]]
        wanted[name] = {**request(code, X), "cases": cases}
    wanted |= {f"apart from {n}": request(PAIR, X, variant=n, apart=True) for n in (0, 1)}
    wanted |= {"many": request(MANY, X, variant=99), "unasked": request(TUNED, X)}
    wanted |= {options: request(SMALL.replace("OPTIONS", options), X) for options in (*KEPT, *REFUSED)}
    gridded = SMALL.replace("OPTIONS", "").replace("(1,)", "(GRID)").replace("import", "import numpy,", 1)
    wanted |= {grid: request(gridded.replace("GRID", grid), X) for grid in GRIDS}
    device = {"multi_processor_count": 7}
    wanted |= {name: request(DEVICE.replace("ASK", ask), X, device=device) for name, ask in ASK.items()}
    return dict(zip(wanted, trace_all(list(wanted.values()), tmp_path_factory.mktemp("traces")), strict=True))


def traced(reply: dict[str, Any]) -> tuple[plan.Plan, plan.Launch]:
    found = plan.parse(reply.get("plans", [reply])[0])
    assert isinstance(found, plan.Plan), f"{found} {reply}"
    assert isinstance(plan_check.check(found, [2048], "triton_only", 1 << 20), plan.OutputTree)
    (launch,) = [step for step in found.steps if isinstance(step, plan.Launch)]
    return found, launch


def steps_of(reply: dict[str, Any]) -> list[plan.Step]:
    found = plan.parse(reply.get("plans", [reply])[0])
    assert isinstance(found, plan.Plan), f"{found} {reply}"
    return found.steps


@pytest.mark.parametrize(
    ("name", "grid", "options"),
    [
        ("unasked", 8, {"num_warps": 4}),
        ("variant 0", 8, {"num_warps": 4}),
        ("variant 1", 4, {"num_warps": 8}),
        ("variant 2", 2, {"num_stages": 5}),
        ("variant 9", 2, {"num_stages": 5}),
    ],
)
def test_a_variant_is_a_configuration_that_pruning_leaves(
    replies: Replies, name: str, grid: int, options: dict[str, int]
) -> None:
    found, launch = traced(replies[name])
    assert replies[name]["variants"] == 3
    assert launch.grid == [grid, 1, 1] and options.items() <= found.kernels[0].options.items()


def test_only_the_hook_of_the_configuration_itself_runs(replies: Replies) -> None:
    """Not those that prepare and undo a timing."""
    assert [step.kind for step in traced(replies["variant 0"])[0].steps] == ["launch"]
    assert [step.kind for step in traced(replies["variant 2"])[0].steps] == ["fill", "launch"]


@pytest.mark.parametrize(
    ("name", "grids"), [("variant 0 after 1", (4, 8)), ("variant 0 after 2", (2, 8)), ("variant 1 after 1", (4, 4))]
)
def test_a_trial_comes_with_all_that_triton_does_about_it(replies: Replies, name: str, grids: tuple[int, int]) -> None:
    steps = steps_of(replies[name])
    hook = ["fill"] if name == "variant 0 after 2" else []  # of the configuration itself
    around = ["fill", "copy", "launch", "copy", "fill"]  # reset, kept, tried, restored, reset
    assert [step.kind for step in steps] == [*hook, *around, "launch"]
    assert [step.grid[0] for step in steps if isinstance(step, plan.Launch)] == list(grids)


def test_a_key_is_tried_once_in_a_call(replies: Replies) -> None:
    """The same key again, then another one."""
    grids = [step.grid[0] for step in steps_of(replies["twice"]) if isinstance(step, plan.Launch)]
    assert grids == [8, 8, 8, 2, 2]


@pytest.mark.parametrize(("name", "grids"), [("apart from 0", [8, 4, 8]), ("apart from 1", [4, 8, 4])])
def test_each_kernel_may_have_a_configuration_of_its_own(replies: Replies, name: str, grids: list[int]) -> None:
    assert [step.grid[0] for step in steps_of(replies[name]) if isinstance(step, plan.Launch)] == grids
    assert replies[name]["tuners"] == 2 and replies["many"]["tuners"] == 1


@pytest.mark.parametrize(("name", "blocks"), [("a key each", (64, 128)), ("one key", (64, 64))])
def test_a_key_keeps_to_its_configuration_whatever_pruning_would_leave_later(
    replies: Replies, name: str, blocks: tuple[int, int]
) -> None:
    launches = [step for one in replies[name]["plans"] for step in steps_of({"plans": [one]})]
    found = [step.arguments["B"] for step in launches if isinstance(step, plan.Launch)]
    assert [one.value for one in found if isinstance(one, plan.Scalar)] == list(blocks)


def test_what_is_not_tuned_is_not_tried(replies: Replies) -> None:
    assert [step.kind for step in steps_of(replies["not tuned"])] == ["launch"]


def test_variants_are_capped(replies: Replies) -> None:
    assert replies["many"]["variants"] == plan.MAX_VARIANTS
    assert replies["num_warps=8"]["variants"] == 1
    traced(replies["many"])


def test_arguments_have_triton_types_in_order_of_declaration(replies: Replies) -> None:
    _, launch = traced(replies["variant 0"])
    assert list(launch.arguments) == "x y n s one none several wide flag B EVEN".split()
    found = {name: a for name, a in launch.arguments.items() if isinstance(a, plan.Scalar)}
    types = {name: "constexpr" if scalar.constexpr else scalar.type for name, scalar in found.items()}
    assert types == {
        "n": "i32", "s": "fp32", "one": "constexpr", "none": "constexpr", "wide": "i64", "flag": "u1",
        "B": "constexpr", "EVEN": "constexpr",
    }  # fmt: skip
    several = launch.arguments["several"]
    assert isinstance(several, plan.Group)
    assert [(a.type, a.constexpr) if isinstance(a, plan.Scalar) else a.kind for a in several.items] == [
        ("i32", False), "pointer", ("", True), ("fp32", False),
    ]  # fmt: skip


@pytest.mark.parametrize("written", GRIDS)
def test_a_grid_has_integers_and_is_not_rounded(replies: Replies, written: str) -> None:
    if GRIDS[written]:
        assert traced(replies[written])[1].grid == GRIDS[written]
    else:
        assert "a grid has integers" in replies[written]["rejected"]["reason"]


@pytest.mark.parametrize("options", KEPT)
def test_options_that_the_plan_carries(replies: Replies, options: str) -> None:
    usual = {"num_warps": 4, "num_stages": 3, "num_ctas": 1, "enable_fp_fusion": True}
    assert traced(replies[options])[0].kernels[0].options == {**usual, **KEPT[options]}


@pytest.mark.parametrize("options", REFUSED)
def test_options_that_would_bring_in_something_foreign(replies: Replies, options: str) -> None:
    reason = replies[options]["rejected"]["reason"]
    assert REFUSED[options] in reason and options.partition("=")[0] in reason


@pytest.mark.parametrize("name", ASK)
def test_the_device_is_the_one_in_the_request(replies: Replies, name: str) -> None:
    assert traced(replies[name])[1].grid == [7, 1, 1]
