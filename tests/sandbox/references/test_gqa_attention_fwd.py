"""What attention's forward pass is timed beside computes the same."""

from typing import Any

import pytest
import torch

from sandbox.judging.draw import Draw
from sandbox.references import load

TASK = load("gqa_attention_fwd", "cpu")


@pytest.mark.parametrize("name", ["library", "flash"])
@pytest.mark.parametrize("causal", [False, True])
def test_libraries_agree_where_queries_and_keys_are_as_many(name: str, causal: bool) -> None:
    found: dict[str, Any] = {}
    exec(compile(TASK.reference, "gqa_attention_fwd", "exec"), found)
    case = {"b": 2, "hq": 4, "hk": 2, "l": 19, "s": 19, "d": 16, "causal": causal, "dtype": "float32"}
    drawn = found["make_inputs"](case, Draw(torch.Generator().manual_seed(1), "normal"))
    torch.testing.assert_close(found[name](*drawn), found["gqa_attention_fwd"](*drawn)[0], rtol=1e-4, atol=1e-5)
