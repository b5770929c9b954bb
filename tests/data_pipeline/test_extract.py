"""Extraction finds the answer wherever a model puts it, and says why when there is none."""

import ast
import time

import pytest

from data_pipeline.extract import defines, extract_kernel
from data_pipeline.prompt import render_answer
from sandbox.types import Rejected

KERNEL = """import torch
import triton
import triton.language as tl


@triton.jit
def kernel(X, OUT, n, BLOCK: tl.constexpr):
    offs = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(OUT + offs, tl.load(X + offs, offs < n), offs < n)


def fused_op(x):
    out = torch.empty_like(x)
    kernel[(1,)](x, out, x.numel(), 1024)
    return out
"""
TORCH_ONLY = "import torch\n\n\ndef fused_op(x):\n    return torch.relu(x)\n"
OLDER = KERNEL.replace("1024", "512")
DOCSTRING = KERNEL.replace("    out =", '    """Use it so:\n```\nfused_op(x)\n```\nand no other way."""\n    out =')


def fenced(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}```\n"


FOUND = {
    "one block": (fenced(KERNEL), KERNEL),
    "bare code with a fence in its docstring": (DOCSTRING, DOCSTRING),
    "triton fence": (fenced(KERNEL, "triton"), KERNEL),
    "no language": (fenced(KERNEL, ""), KERNEL),
    "prose around": ("Sure! Here it is:\n\n" + fenced(KERNEL) + "\nIt loads `x` and stores it.", KERNEL),
    "last of several": (fenced(OLDER) + "Better:\n" + fenced(KERNEL), KERNEL),
    "kernel preferred to torch": (fenced(KERNEL) + "Compare with PyTorch:\n" + fenced(TORCH_ONLY), KERNEL),
    "usage example after": (fenced(KERNEL) + "Usage:\n" + fenced("y = fused_op(x)\n"), KERNEL),
    "shell block first": ("```bash\npip install triton\n```\n" + fenced(KERNEL), KERNEL),
    "thoughts": ("<think>maybe\n" + fenced(OLDER) + "no</think>\n" + fenced(KERNEL), KERNEL),
    "thoughts opened by the prompt": ("maybe\n" + fenced(OLDER) + "</think>\n" + fenced(KERNEL), KERNEL),
    "bare code": (KERNEL, KERNEL),
    "bare code with prose": ("Here is the kernel.\n\n" + KERNEL + "\nI hope this helps!", KERNEL),
    "CRLF": (fenced(KERNEL).replace("\n", "\r\n"), KERNEL),
    "fence in a docstring": (fenced(DOCSTRING), DOCSTRING),
    "tilde fence": ("~~~python\n" + KERNEL + "~~~\n", KERNEL),
    "longer outer fence": ("````python\n" + DOCSTRING + "````\n", DOCSTRING),
    "indented in a list": ("1. The file:\n" + "".join(f"   {line}\n" for line in fenced(KERNEL).splitlines()), KERNEL),
    "unclosed but whole": ("```python\n" + KERNEL, KERNEL),
    "closed block beats an unclosed one": (fenced(KERNEL) + "And now\n```python\n" + OLDER, KERNEL),
    "torch only": (fenced(TORCH_ONLY), TORCH_ONLY),
}


@pytest.mark.parametrize("name", FOUND)
def test_finds_the_answer(name: str) -> None:
    completion, expected = FOUND[name]
    found = extract_kernel(completion, "fused_op")
    assert isinstance(found, str), found
    assert found.strip() == expected.strip()


MISSING = {
    "empty": ("", "empty"),
    "white space": (" \n\t\n", "empty"),
    "prose": ("I cannot do that.", "no code block"),
    "another function": (fenced(KERNEL.replace("fused_op", "other")), "fused_op"),
    "truncated": ("```python\n" + KERNEL[: KERNEL.index("tl.store") + 12], "truncated"),
    "truncated thoughts": ("<think>First I would\n" + fenced(KERNEL), "truncated"),
    "too long": ("```python\n" + "#" * 500_000 + "\n```", "longer"),
}


@pytest.mark.parametrize("name", MISSING)
def test_says_what_is_missing(name: str) -> None:
    completion, word = MISSING[name]
    found = extract_kernel(completion, "fused_op")
    assert isinstance(found, Rejected)
    assert found.stage == "extract"
    assert word in found.reason


def test_wrong_syntax_is_left_to_the_screen() -> None:
    """So that a syntax error is worth what the screen says, in one place."""
    found = extract_kernel(fenced(KERNEL.replace("BLOCK: tl.constexpr):", "BLOCK: tl.constexpr)")), "fused_op")
    assert isinstance(found, str)
    with pytest.raises(SyntaxError):
        ast.parse(found)


def test_class_is_an_entry_point() -> None:
    assert defines("class ModelNew:\n    pass\n", "ModelNew")
    assert not defines("def outer():\n    def fused_op(x):\n        pass\n", "fused_op")


def test_answers_survive_the_round_trip() -> None:
    for code in (KERNEL, DOCSTRING, TORCH_ONLY):
        assert extract_kernel(render_answer(code), "fused_op") == code


HOSTILE = {
    "a fence line that ends wrong": "```" + "a" * 300_000 + "`",
    "thoughts that never end": "<think>" * 50_000,
    "a long docstring before many fences": '```\n"""\n```\n' + "a\n" * 150_000 + '"""\n)\n' + "```\n" * 190,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_take_no_time(name: str) -> None:
    started = time.process_time()
    assert isinstance(extract_kernel("Here it is.\n" + HOSTILE[name], "fused_op"), Rejected)
    assert time.process_time() - started < 5


def test_text_around_thoughts_is_kept() -> None:
    answer = "<think>a</think>one<think>b</think>two <think>c"
    assert extract_kernel(f"```\n{TORCH_ONLY}```\n{answer}", "fused_op") == TORCH_ONLY


@pytest.mark.timeout(20)
def test_many_fences_take_no_time() -> None:
    found = extract_kernel("```python\nx = (\n" * 20_000, "fused_op")
    assert isinstance(found, Rejected)
