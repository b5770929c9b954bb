"""What packages write in a way of their own, written out in plain PyTorch and Triton.

FlagGems keeps heuristics and tuned configurations in tables of its own and generates the launchers of elementwise
kernels at run time. Here the table's entry takes the call's place, and an elementwise function gets a flat launcher;
the function itself, which is what can be learned from, stays as it is.
"""

import ast
import copy
import re
import textwrap
from collections.abc import Iterator
from itertools import product
from typing import Any

from omegaconf import OmegaConf

from data_pipeline.pairing.namespace import FUNCTIONS, Definition
from data_pipeline.pairing.rewriting import UnsliceableError
from data_pipeline.pairing.slicing import Slice

VALUES = {
    "torch_device_fn": "torch.cuda", "autotune_cache_kwargs": "{}", "ascend_compile_kwargs": "{}",
    "device_torch_lib": "torch.cuda",
    "device_platform": "'nvidia'", "custom_device_ctx": "torch.cuda.device", "device_context": "torch.cuda.device",
    "check_shared_mem": "lambda *args, **kwargs: True",
}  # fmt: skip
"""Definitions that find out at run time what holds on an NVIDIA GPU."""
OTHER_VENDOR = re.compile(r"(^|_)(hip|amd|rocm|xpu|npu|intel|cdna|rdna|musa|mlu|ascend|mps|interpreter)(_|$|\d)", re.I)
HEURISTICS = "_nvidia.heuristics_config_utils"
TUNED = "_nvidia/tune_configs.yaml"
MOST_CONFIGS = 8
POINTWISE = """
@triton.jit
def {name}_kernel({pointers}, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
{loads}
    {results} = {name}_element({values})
{stores}


def {name}({parameters}):
    {first} = {prepared}
{allocations}
    n = {one}.numel()
    {name}_kernel[(triton.cdiv(n, 1024),)]({arguments}, n, BLOCK=1024)
    return {returned}
"""


def written_out(slice: Slice, found: Definition) -> list[ast.stmt] | None:
    """Statements in place of a definition, where it is one of these idioms."""
    node = found.node
    if found.name in VALUES and not found.name.startswith("test"):
        slice.bind("torch", "import torch")
        return ast.parse(f"{found.name} = {VALUES[found.name]}").body
    if OTHER_VENDOR.search(found.name) and re.match(r"_?(is|on|has|use)_", found.name, re.I):
        is_function = isinstance(node, FUNCTIONS)
        return ast.parse(f"def {found.name}(*args):\n    return False" if is_function else f"{found.name} = False").body
    if isinstance(node, ast.Assign):
        value = ast.unparse(node.value)
        if value.endswith("device.name") and len(node.targets) == 1:
            return ast.parse(f"{found.name} = 'cuda'").body
        if value.startswith(("tl_extra_shim", "tl.extra")) or found.name == "tl_extra_shim":
            slice.bind("libdevice", "from triton.language.extra import libdevice")
            return ast.parse(f"{found.name} = libdevice{value[13:] if value.startswith('tl_extra_shim') else ''}").body
    if isinstance(node, ast.FunctionDef):
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("pointwise_dynamic"):
                return _pointwise(slice, found, node, decorator)
    return None


def table_entry(slice: Slice, called: str, name: str) -> ast.expr | None:
    """What stands in place of FlagGems' look-up of a kernel's heuristics or tuned configurations."""
    if called.endswith("get_heuristic_config"):
        return ast.Name(_heuristics(slice, name), ast.Load())
    if called.endswith(("get_tuned_config", "ops_get_configs")):
        slice.bind("triton", "import triton")
        return ast.parse(_configurations(slice, name), mode="eval").body
    return None


def _heuristics(slice: Slice, name: str) -> str:
    for dotted in slice.package:
        if dotted.endswith(HEURISTICS):
            module = slice.package.module(dotted)
            table = module.definitions["HEURISTICS_CONFIGS"]
            if isinstance(table, ast.Assign) and isinstance(table.value, ast.Dict):
                for key, value in zip(table.value.keys, table.value.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == name:
                        entry = ast.Assign([ast.Name(f"{name}_heuristics", ast.Store())], value, lineno=1, col_offset=0)
                        return slice.of(Definition(module, f"{name}_heuristics", entry), name)
    raise UnsliceableError(f"no heuristics for {name}")


def _configurations(slice: Slice, name: str) -> str:
    """`[triton.Config(…), …]`, the first few."""
    text = next((t for path, t in slice.package.tables.items() if path.endswith(TUNED)), "")
    entry = re.search(rf"^{re.escape(name)}:\n((?:[ -].*\n|\n)+)", text + "\n", re.M)
    if entry is None:
        raise UnsliceableError(f"no tuned configurations for {name}")
    configs = []
    rows: Any = OmegaConf.to_container(OmegaConf.create(entry[1]))
    for row in rows:
        for values in _generated(row) if row.get("gen") else [row]:
            numbers = "".join(f", {key}={values[key]}" for key in ("num_warps", "num_stages") if key in values)
            configs.append(f"triton.Config({values['META']!r}{numbers})")
    return f"[{', '.join(configs[:MOST_CONFIGS])}]"


def _generated(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All combinations of the lists that a row's `param_map` names."""
    lists = {key: value for key, value in row.items() if isinstance(value, list)}
    for values in product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        found = {key: chosen.get(ref, ref) for key, ref in row["param_map"].items() if key != "META"}
        meta = row["param_map"]["META"]
        yield found | {
            "META": chosen[meta] if isinstance(meta, str) else {k: chosen.get(v, v) for k, v in meta.items()}
        }


def _pointwise(slice: Slice, found: Definition, node: ast.FunctionDef, decorator: ast.Call) -> list[ast.stmt]:
    options = {k.arg: k.value for k in decorator.keywords}
    names = [a.arg for a in node.args.args]
    is_tensor = [True] * len(names)
    if "is_tensor" in options:
        is_tensor = [bool(ast.literal_eval(e)) for e in getattr(options["is_tensor"], "elts", [])]
    methods = [ast.literal_eval(e) for e in getattr(options.get("promotion_methods"), "elts", [])]
    outputs = ast.literal_eval(options["num_outputs"]) if "num_outputs" in options else len(methods)
    if len(is_tensor) != len(names) or len(methods) != outputs or not any(is_tensor):
        raise UnsliceableError(f"{found.name} is generated from options that are not plain")
    slice.bind("torch", "import torch")
    slice.bind("triton", "import triton")
    slice.bind("tl", "import triton.language as tl")
    plain = copy.copy(node)
    plain.name = f"{found.name}_element"
    plain.decorator_list = [ast.parse("triton.jit", mode="eval").body]
    slice.of(Definition(found.module, f"{found.name}_element", plain), found.name)
    tensors = [n for n, yes in zip(names, is_tensor, strict=True) if yes]
    outs = [f"out{n}" for n in range(outputs)]
    dtypes = [_dtype(method, names, is_tensor) for method in methods]
    text = POINTWISE.format(
        name=found.name,
        pointers=", ".join([*(f"{n}_ptr" if n in tensors else n for n in names), *(f"{o}_ptr" for o in outs)]),
        loads="\n".join(f"    {n} = tl.load({n}_ptr + offsets, mask=mask)" for n in tensors),
        results=", ".join(outs), values=", ".join(names),
        stores="\n".join(f"    tl.store({o}_ptr + offsets, {o}, mask=mask)" for o in outs),
        parameters=", ".join([*names, *(f"{o}=None" for o in outs)]),
        first=", ".join(tensors) if len(tensors) > 1 else tensors[0],
        prepared=f"[x.contiguous() for x in torch.broadcast_tensors({', '.join(tensors)})]"
        if len(tensors) > 1 else f"{tensors[0]}.contiguous()",
        allocations="\n".join(
            f"    if {o} is None:\n        {o} = torch.empty({tensors[0]}.shape, dtype={d}, device={tensors[0]}.device)"
            for o, d in zip(outs, dtypes, strict=True)
        ),
        one=tensors[0], arguments=", ".join([*names, *outs]), returned=", ".join(outs),
    )  # fmt: skip
    return ast.parse(textwrap.dedent(text)).body


def _dtype(method: tuple[object, ...], names: list[str], is_tensor: list[bool]) -> str:
    *positions, rule = method
    if rule == "ALWAYS_BOOL":
        return "torch.bool"
    tensors = [names[p] for p in positions if isinstance(p, int) and is_tensor[p]]
    if not tensors:
        raise UnsliceableError("its output has the dtype of a number")
    dtype = f"torch.result_type({tensors[0]}, {tensors[1]})" if len(tensors) > 1 else f"{tensors[0]}.dtype"
    if rule == "INT_TO_FLOAT":
        return f"{dtype} if {tensors[0]}.is_floating_point() else torch.float32"
    return dtype
