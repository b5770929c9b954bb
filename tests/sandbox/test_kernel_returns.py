"""Returns behind which others are compiled."""

import ast

import pytest

from sandbox.kernels.returns import followed


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("if C: return 1\n  return 0", {1: True}),
        ("if C: return 1\n  return 1", {}),
        ("if C: return 1\n  else: return 0", {}),
        ("if C: return 1\n  if D: return 0", {1: False}),
        ("for i in x:\n    if C: return 1\n  return 0", {1: True}),
        ("for i in x:\n    if C: return 1\n    if D: return 2", {1: False, 2: False}),
        ("if C:\n    return 1\n    return 2\n  return 1", {}),
    ],
)
def test_what_is_compiled_after_a_return(body: str, expected: dict[int, bool]) -> None:
    (function,) = ast.parse(f"def f():\n  {body}").body
    assert isinstance(function, ast.FunctionDef)
    found = {ast.literal_eval(node.value): certain for node, certain in followed(function).items() if node.value}
    assert found == expected
