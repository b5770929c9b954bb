"""Program → task file: the operator in PyTorch, as a function or as KernelBench's `Model`, and its `make_inputs`."""

import re

from data_pipeline.synthetic.ops import OPS
from data_pipeline.synthetic.pose import Pose
from data_pipeline.synthetic.program import RUNNING, Contents, Input, Program
from data_pipeline.synthetic.templates.host import like
from sandbox.types import Case

CONTENTS: dict[Contents, tuple[str, str]] = {
    "normal": ("draw.normal({s}, dtype=dtype)", "torch.randn({s}{d})"),
    "small": ("draw.normal({s}, dtype=dtype, scale=0.1)", "torch.randn({s}{d}) * 0.1"),
    "scale": ("draw.uniform({s}, low=0.01, high=0.1, dtype=dtype)", "torch.rand({s}{d}) * 0.1"),
    "zero": ("draw.uniform({s}, low=1.0, high=15.0, dtype=dtype)", "torch.rand({s}{d}) * 14 + 1"),
    "angle": ("draw.uniform({s}, low=-1.0, high=1.0, dtype=dtype)", "torch.rand({s}{d}) * 2 - 1"),
    "index": ("draw.integers({s}, low=0, high=k)", "torch.randint(0, k, ({s},))"),
    "columns": ("draw.integers({s}, low=0, high=n)", "torch.randint(0, n, ({s},))"),
    "labels": ("draw.integers({s}, low=0, high=n)", "torch.randint(0, n, ({s},))"),
    "permutation": ("draw.permutation({s})", "torch.randperm({s})"),
    "int8": (
        'draw.integers({s}, low=-127, high=128, dtype="int8")', "torch.randint(-127, 128, ({s},), dtype=torch.int8)"
    ),
    "uint8": ('draw.integers({s}, low=0, high=256, dtype="uint8")', "torch.randint(0, 256, ({s},), dtype=torch.uint8)"),
    "integers": ("draw.integers({s}, low=-100, high=100, dtype=dtype)", "torch.randint(-100, 100, ({s},){d})"),
    "booleans": ("draw.booleans({s})", "torch.rand({s}) < 0.5"),
}  # fmt: skip
"""How an input is drawn by the judge, and how a person would write it; `{s}` is the shape, `{d}` a dtype argument."""
SCAN = (
    "def decayed_scan(x, decay):\n    states = [x[0]]\n    for row in x[1:]:\n"
    "        states.append(decay * states[-1] + row)\n    return torch.stack(states)\n\n\n"
)


def reference(program: Program, pose: Pose, shown: Case) -> str:
    """The task file. 16-bit inputs are computed on in float32. `shown`: the case that a model's `get_inputs` draws."""
    body = _body(program, pose)
    functional = "import torch.nn.functional as F\n" if any("F." in line for line in body) else ""
    header = f"import torch\n{functional}\n\n"
    if any("decayed_scan" in line for line in body):
        header += SCAN
    make = _make_inputs(program, pose)
    if not pose.model:
        lines = "\n".join(f"    {line}" for line in body)
        return f"{header}def {pose.entry_point}({', '.join(pose.arguments(program))}):\n{lines}\n\n\n{make}"
    model = f"class Model(torch.nn.Module):\n{pose.constructor(program)}\n{pose.forward(program, body)}"
    return f"{header}{model}\n\n{_public_inputs(program, pose, shown)}\n\n{make}"


def _body(program: Program, pose: Pose) -> list[str]:
    half = program.dtype in ("float16", "bfloat16")
    operands: dict[str, str] = {}
    bindings: dict[str, str] = {}
    for item in program.inputs:
        operands[item.name] = pose.name_on_host(item.name)
        if item.kind == "index":
            continue
        expression = operands[item.name]
        picks = item.kind == "source" and program.layout != "scatter"
        expression += (f"[{index_name(program)}]" if picks else "") + ".float()" * _widens(program, item)
        expression += "[:, None]" * (item.kind == "col" and not program.reduces)
        if expression != operands[item.name]:
            operands[item.name] = _bound_name(item, picks, ".float()" in expression)
            bindings[operands[item.name]] = expression
    body = [f"{', '.join(bindings)} = {', '.join(bindings.values())}"] if bindings else []
    expression = operands[program.inputs[0].name]
    for number, step in enumerate(program.steps):
        expression = OPS[step.op].torch.format(*(operands.get(arg, arg) for arg in step.args))
        if number < len(program.steps) - 1:
            body.append(f"{RUNNING} = {expression}")
    if half and program.result_dtype == "":
        simple = re.fullmatch(r"[\w.]+(\([^()]*\))?", expression)
        dtype = f"{pose.name_on_host(like(program).name)}.dtype"
        expression = (expression if simple else f"({expression})") + f".to({dtype})"
    return [*body, f"return {expression}"]


def _widens(program: Program, item: Input) -> bool:
    if item.kind == "codes":
        return program.layout != "unpack"
    return item.floating and program.dtype in ("float16", "bfloat16")


def index_name(program: Program) -> str:
    return next(item.name for item in program.inputs if item.kind == "index")


def _bound_name(item: Input, picks: bool, widened: bool) -> str:
    if picks:
        return "rows" if item.name != "rows" else "picked"
    return f"{item.name}f" if widened else f"{item.name}c"


def dimensions(program: Program) -> list[str]:
    """Names of all sizes, sorted."""
    words = " ".join(dim for item in program.inputs for dim in item.shape)
    found = set(re.findall(r"[a-z]+", words))
    if any(item.contents == "index" for item in program.inputs):
        found.add("k")
    return sorted(found)


def _make_inputs(program: Program, pose: Pose) -> str:
    values = [_drawn(item) for item in program.inputs if item.name not in pose.parameters]
    needed = dimensions(program)
    if pose.parameters:
        used = " ".join(values)
        needed = [dim for dim in needed if re.search(rf"\b{dim}\b", used)]
    names = ", ".join([*needed, "dtype"])
    keys = ", ".join(f'case["{name}"]' for name in [*needed, "dtype"])
    ends = "," if len(values) == 1 else ""
    return f"def make_inputs(case, draw):\n    {names} = {keys}\n    return {', '.join(values)}{ends}\n"


def _drawn(item: Input) -> str:
    text, shape = CONTENTS[item.contents][0], list(item.shape)
    match item.view:
        case "transposed":
            return text.format(s=", ".join(reversed(shape))) + ".t()"
        case "sliced":
            return text.format(s=", ".join([*shape[:-1], f"{shape[-1]} + 5"])) + f"[:, 3 : {shape[-1]} + 3]"
        case "second":
            return text.format(s=", ".join([*shape[:-1], f"2 * {shape[-1]}"])) + "[:, ::2]"
        case _:
            return text.format(s=", ".join(shape))


def _public_inputs(program: Program, pose: Pose, shown: Case) -> str:
    """KernelBench's generators, for the shapes of one public case."""
    sizes = [dim for dim in dimensions(program) if dim in shown.args]
    constants = f"{', '.join(sizes)} = {', '.join(str(shown.args[dim]) for dim in sizes)}\n"
    dtype = "" if program.dtype == "float32" else f", dtype=torch.{program.dtype}"
    values = []
    for item in program.inputs:
        if item.name not in pose.parameters:
            text = CONTENTS[item.contents][1].format(s=", ".join(item.shape), d=dtype)
            values.append(text)
    initial = ", ".join(pose.fixed(program))
    return (
        f"{constants}\n\ndef get_inputs():\n    return [{', '.join(values)}]\n\n\n"
        f"def get_init_inputs():\n    return [{initial}]\n"
    )
