"""What a launch needs compiled: what the source says of its parameters, and which launches compile the same."""

import ast
import time
from typing import Any

import pytest

from sandbox.kernels.records import Fields
from sandbox.kernels.request import KernelRequest, Modules, specialised
from sandbox.kernels.signature import jit_options, signature
from sandbox.kernels.text import KernelError
from sandbox.plans import plan

SIGNATURES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("@triton.jit\ndef k(a, b: tl.constexpr, c: 'tl.constexpr', d: torch.Tensor): pass", {}),
    "types": ("@triton.jit\ndef k(a: tl.int64, b: '*fp32', c: int, d: tl.const): pass", {}),
    "names": ("@triton.jit(do_not_specialize=['a', 1], repr=f)\ndef k(a, b): pass", {"do_not_specialize": ("a", 1)}),
    "call": (
        "def k(a): pass\nj = triton.jit(k, do_not_specialize_on_alignment=('a',))",
        {"do_not_specialize_on_alignment": ("a",)},
    ),
    "later": ("def k(a): pass\nj = triton.jit(noinline=True)(k)", {"noinline": True}),
}
PARAMETERS = {
    "plain": {"a": "", "b": "constexpr", "c": "constexpr", "d": ""},
    "types": {"a": "int64", "b": "*fp32", "c": "int", "d": "const"},
}


def _signature(code: str) -> Any:
    tree = ast.parse(code)
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return signature(function, jit_options(tree).get(function.name, []), {"tl": "triton.language"})


@pytest.mark.parametrize("name", SIGNATURES)
def test_options_and_types_are_read_from_the_source(name: str) -> None:
    code, options = SIGNATURES[name]
    found = _signature(code)
    assert {key: getattr(found, key) for key in options} == options
    assert found.parameters == PARAMETERS.get(name, found.parameters)


@pytest.mark.parametrize("option", ["do_not_specialize=NAMES", "do_not_specialize=[NAME]", "magic=1", "**MORE"])
def test_options_that_cannot_be_read_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=r"option .* of triton.jit"):
        _signature(f"@triton.jit({option})\ndef k(a): pass")


def test_fields_are_looked_up_however_many_records_there_are() -> None:
    """In seconds, where each of the file's ten thousand would be held against each argument."""
    records = "\n".join(f'namedtuple("P", "a{n} b{n}")' for n in range(10_000))
    fields, started = Fields(ast.parse(records)), time.process_time()
    pair = plan.Group(items=[], fields=["left", "right"])
    for _ in range(3000):
        fields.check(plan.Group(items=[pair]))
    assert time.process_time() - started < 5
    fields.check(plan.Group(items=[], fields=["a7", "b7"]))
    for foreign in (["b7", "a7"], ["a7", "b8"], ["c", "a7"]):
        with pytest.raises(KernelError, match="write its class out"):
            fields.check(plan.Group(items=[plan.Group(items=[], fields=foreign)]))


TREE = ast.parse("@triton.jit\ndef kernel(x, y, n, B: tl.constexpr):\n    pass\n")


def _request(n: Any = 1000, offset: int = 0, block: Any = 256, **changes: Any) -> KernelRequest:
    def view(buffer: int) -> plan.View:
        return plan.View(buffer=buffer, dtype="float32", shape=[8], strides=[1], offset=offset)

    arguments: dict[str, Any] = {
        "x": plan.Pointer(view=view(0)), "y": plan.Pointer(view=view(1)), "n": plan.Scalar(value=n),
        "B": plan.Scalar(value=block),
    }  # fmt: skip
    kernel = plan.KernelCode(**{"name": "kernel", "line": 0, "ttir": "", "options": {}, "constants": {}, **changes})
    line = next(node.lineno - 1 for node in TREE.body if isinstance(node, ast.FunctionDef))
    found = plan.Plan(
        buffers=[plan.Buffer(nbytes=1 << 12)] * 2, kernels=[kernel.model_copy(update={"line": line})],
        steps=[plan.Launch(kernel=0, grid=[1, 1, 1], arguments=arguments)], output={},
    )  # fmt: skip
    return Modules(TREE).requests(found)[0]


def test_requests_are_equal_where_triton_compiles_the_same() -> None:
    plain = _request().identity()
    assert plain == _request(n=1001).identity() == _request(n=-7).identity() == _request(offset=4).identity()
    different = [
        _request(n=1008), _request(n=1), _request(n=2**31), _request(n=2**63), _request(n=2.0), _request(n=True),
        _request(n=None), _request(offset=1), _request(block=512), _request(block=256.0),
        _request(constants={"C": plan.Scalar(value=1)}), _request(options={"num_warps": 8}),
    ]  # fmt: skip
    assert len({plain, *(one.identity() for one in different)}) == len(different) + 1


def test_text_that_is_no_unicode_has_an_identity() -> None:
    assert _request(block="\udcff").identity() != _request(block="\udcfe").identity()


def test_too_many_kernels_are_refused() -> None:
    launch = plan.Launch(kernel=0, grid=[1, 1, 1], arguments={})
    code = plan.KernelCode(name="k", line=0, ttir="", options={}, constants={})
    many = plan.Plan(buffers=[], kernels=[code], steps=[launch] * (plan.MAX_KERNELS + 1), output={})
    keys = [str(number) for number in range(len(many.steps))]
    with pytest.raises(KernelError, match="different kernels"):
        specialised(many, keys, {key: {} for key in keys})
    found, order = specialised(many, ["same"] * len(keys), {"same": {}})
    assert (len(found.kernels), order) == (1, ["same"])
