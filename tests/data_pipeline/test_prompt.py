"""A prompt shows what the model may know, and nothing else."""

from data_pipeline.prompt import render_prompt, shown_reference
from data_pipeline.synthetic import propose
from data_pipeline.task import Attempt, Provenance, Task
from sandbox.types import Case, Passed, Rejected, Timing

REFERENCE = """import math
import torch
import torch.nn.functional as F
from einops import rearrange

SCALE = 0.5
SECRET_SHAPE = 4242


def _helper(x):
    return rearrange(x, "a b -> b a") * SCALE


def _unused(x):
    return x


def make_inputs(case, draw):
    return (draw.normal(SECRET_SHAPE),)


@torch.no_grad()
def op(x):
    return F.relu(_helper(x)) + math.pi
"""


def task(**changes: object) -> Task:
    fields: dict[str, object] = {
        "id": "t", "family": "f", "source": Provenance(origin="o", version="1", licence="MIT"),
        "description": "Scale and clip.", "reference": REFERENCE, "entry_point": "op",
        "cases": (Case(name="seen", args={"n": 128, "dtype": "float16"}),),
        "hidden_cases": (Case(name="unseen", args={"n": 7919}, distribution="heavy_tailed", hidden=True),),
        "tolerance": "T16", "difficulty": 2,
    }  # fmt: skip
    return Task.model_validate(fields | changes)


def text(messages: object) -> str:
    return "\n".join(message["content"] for message in messages)  # type: ignore[attr-defined]


def test_shows_the_task() -> None:
    shown = text(render_prompt(task()))
    for part in ("Scale and clip.", "def op(x)", "n=128", "dtype=float16", "`op`", "```python"):
        assert part in shown


def test_never_shows_hidden_cases_or_generators() -> None:
    attempts = [
        None,
        Attempt(code="pass", verdict=Rejected(stage="numerics", reason="fails on a hidden case", log="n was 7919")),
        Attempt(code="pass", verdict=Passed(cases=(), timings=(timing("unseen", 0.123), timing("seen", 0.456)))),
    ]
    for attempt in attempts:
        shown = text(render_prompt(task(), attempt))
        for secret in ("7919", "unseen", "heavy_tailed", "make_inputs", "4242", "0.123"):
            assert secret not in shown, (secret, attempt)


def test_synthetic_prompts_never_show_hidden_sizes() -> None:
    for made, _ in propose(120, seed=3):
        words = set(text(render_prompt(made)).replace(",", " ").replace(";", " ").split())
        public = {f"{k}={v}" for case in made.cases for k, v in case.args.items()}
        hidden = {f"{k}={v}" for case in made.hidden_cases for k, v in case.args.items()} - public
        assert hidden and not hidden & words
        assert public <= words


def test_parent_is_shown_with_its_verdict() -> None:
    wrong = Attempt(code="x = 1", verdict=Rejected(stage="launch", reason="case seen: wrote out of bounds"))
    shown = text(render_prompt(task(), wrong))
    assert "x = 1" in shown and "launch" in shown and "wrote out of bounds" in shown
    right = Attempt(code="x = 2", verdict=Passed(cases=(), timings=(timing("seen", 0.456),)))
    shown = text(render_prompt(task(), right))
    assert "x = 2" in shown and "0.456 ms" in shown and "faster" in shown


def test_reference_keeps_what_it_needs() -> None:
    shown = shown_reference(REFERENCE, "op")
    for part in ("def _helper", "SCALE = 0.5", "import rearrange", "import math", "@torch.no_grad()"):
        assert part in shown
    for part in ("_unused", "import torch\n", "make_inputs"):
        assert part not in shown


def test_kernelbench_shapes_are_shown() -> None:
    source = "N = 32\nclass Model:\n    pass\ndef get_inputs():\n    return [N]\ndef other():\n    pass\n"
    shown = shown_reference(source, "ModelNew")
    assert "class Model" in shown and "N = 32" in shown and "get_inputs" in shown and "other" not in shown


def test_float32_products_are_asked_for_where_tf32_fails() -> None:
    product = "import torch\n\n\ndef op(x):\n    return x @ x.T\n"
    assert "ieee" in text(render_prompt(task(reference=product, tolerance="TS")))
    assert "ieee" not in text(render_prompt(task(reference=product, tolerance="TT")))
    assert "ieee" not in text(render_prompt(task(tolerance="T32")))
    model = f"{product.replace('def op(x):', 'class Model:').replace('return', 'forward = lambda x:')}"
    shown = task(reference=model, tolerance="T32", entry_point="ModelNew", prompt_format="kernelbench")
    assert "ieee" in text(render_prompt(shown))


def timing(case: str, candidate_ms: float) -> Timing:
    return Timing(
        case=case, baseline="eager", candidate_ms=candidate_ms, baseline_ms=1.0,
        ratio=2.0, ratio_low=1.9, ratio_high=2.1,
        candidate_peak_mib=1, baseline_peak_mib=2, roofline_ms=0.1, limited_by="bytes", clock="test", samples=1,
        stamp={},
    )  # fmt: skip
