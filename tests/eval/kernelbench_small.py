"""The operators of the problems that tests/kernelbench_run answers, in our own words and small: KernelBench files.

Constructors draw in the order in which KernelBench's do, so that a seed gives candidate and reference equal weights.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple


class Small(NamedTuple):
    """One problem: what the source of `Model` says."""

    forward: str
    inputs: str
    init: str = "pass"
    arguments: str = ""
    """What `get_init_inputs` lists; `init` calls them a, b, c, …."""


SQUARES = "torch.rand(70, 70), torch.rand(70, 70)"
X = "torch.rand(37, 50)"
ATTEND = """
        B, T, C = x.shape
        q, k, v = (one.unflatten(2, (self.heads, -1)).transpose(1, 2) for one in self.qkv(x).chunk(3, dim=2))
        ahead = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(ahead, -float("inf"))
        mixed = (scores.{how} @ v).transpose(1, 2).reshape(B, T, C)"""
QKV = "self.heads = b; self.qkv = nn.Linear(a, 3 * a); self.out = nn.Linear(a, a)"

SMALL = {
    (1, 1): Small("return x @ y", SQUARES),
    (1, 3): Small("return x @ y", "torch.rand(3, 33, 50), torch.rand(3, 50, 65)"),
    (1, 6): Small("return x @ y", "torch.rand(20, 2100), torch.rand(2100, 24)"),
    (1, 8): Small("return x @ y", "torch.rand(131, 41), torch.rand(41, 150)"),
    (1, 10): Small("return x @ y", "torch.rand(3, 45, 50), torch.rand(50, 33)"),
    (1, 14): Small("return (x @ y).triu()", "torch.rand(200, 200).triu(), torch.rand(200, 200).triu()"),
    (1, 16): Small("return x.T @ y", "torch.rand(50, 40), torch.rand(50, 60)"),
    (1, 18): Small("return x.T @ y.T", "torch.rand(50, 40), torch.rand(60, 50)"),
    (1, 40): Small("return self.norm(x)", "torch.rand(3, 5, 30, 31)", "self.norm = nn.LayerNorm(a)", "(5, 30, 31)"),
    (1, 88): Small("return torch.nn.functional.gelu(x, approximate='tanh')", "torch.rand(37, 75)"),
    (1, 99): Small(
        "return torch.nn.functional.triplet_margin_loss(x, y, z, margin=self.margin)",
        "torch.rand(19, 70), torch.rand(19, 70), torch.rand(19, 70)", "self.margin = a", "1.0",
    ),
    (2, 12): Small(
        "return torch.nn.functional.leaky_relu(self.layer(x) * self.by, self.slope)", X,
        "self.layer = nn.Linear(a, b); self.by = c; self.slope = d", "50, 70, 2.0, 0.1",
    ),
    (2, 22): Small(
        """x = (2 * self.by * self.layer(x)).clamp(self.low, self.high).logsumexp(1, keepdim=True)
        return x * torch.nn.functional.mish(x)""",
        X, "self.layer = nn.Linear(a, b); self.by = c; self.low = d; self.high = e", "50, 70, 2.0, -10.0, 10.0",
    ),
    (2, 29): Small(
        "return torch.nn.functional.mish(torch.nn.functional.mish(self.layer(x)))", X,
        "self.layer = nn.Linear(a, b)", "50, 70",
    ),
    (2, 62): Small(
        "return 2 * torch.nn.functional.leaky_relu(self.norm(self.layer(x)), 0.01)", X,
        "self.layer = nn.Linear(a, b); self.norm = nn.GroupNorm(c, b)", "50, 72, 6",
    ),
    (2, 70): Small(
        "x = self.layer(x)\n        return x + self.by * x.sigmoid()", X,
        "self.layer = nn.Linear(a, b); self.by = c", "50, 70, 2.0",
    ),
    (2, 76): Small(
        "return (self.layer(x) + self.more).relu()", X,
        "self.layer = nn.Linear(a, b, bias=False); self.more = nn.Parameter(torch.randn(c))", "50, 70, (70,)",
    ),
    (2, 86): Small(
        "return torch.nn.functional.gelu(self.layer(x) / self.by)", X,
        "self.layer = nn.Linear(a, b); self.by = c", "50, 70, 10.0",
    ),
    (2, 95): Small(
        """x = torch.nn.functional.silu(self.layer(x) + self.more).tanh()
        return torch.nn.functional.gelu(x).clamp(-1, 1)""",
        X, "self.layer = nn.Linear(a, b); self.more = nn.Parameter(torch.randn(c))", "50, 70, (70,)",
    ),
    (3, 1): Small(
        "return self.two(self.one(self.first(x).relu()).relu())", X,
        "self.first = nn.Linear(a, b[0]); self.one = nn.Linear(b[0], b[1]); self.two = nn.Linear(b[1], c)",
        "50, [60, 40], 70",
    ),
    (3, 3): Small(
        "return self.two(self.one(self.first(x).relu()).relu())", X,
        "self.first = nn.Linear(a, b[0]); self.one = nn.Linear(b[0], b[1]); self.two = nn.Linear(b[1], c)",
        "50, [30, 30], 70",
    ),
    (3, 43): Small(
        ATTEND.format(how="softmax(-1)") + "\n        return self.out(mixed)", "torch.rand(2, 70, 48)", QKV,
        "48, 4, 0.0, 0.0, 96",
    ),
    (3, 44): Small(
        """whole = x
        x = self.first(x)""" + ATTEND.format(how="softmax(-1)") + """
        x = whole + self.out(mixed)
        return x + self.wide(self.second(x))""",
        "torch.rand(2, 70, 48)",
        "self.first = nn.LayerNorm(a); " + QKV + "; self.second = nn.LayerNorm(a); "
        "self.up = up = nn.Linear(a, 4 * a); self.down = down = nn.Linear(4 * a, a); "
        "self.wide = lambda x: down(torch.nn.functional.gelu(up(x), approximate='tanh'))",
        "48, 4, 0.0, 0.0, 96",
    ),
    (3, 50): Small(ATTEND.format(how="relu()") + "\n        return mixed", "torch.rand(2, 70, 48)", QKV, "48, 3, 96"),
}  # fmt: skip


def source(problem: Small) -> str:
    """The file: `Model`, `get_inputs`, `get_init_inputs`."""
    names = "abcdefgh"[: len(problem.arguments.split(", ")) if problem.arguments else 0]
    inputs = "x, y, z".split(", ")[: problem.inputs.count("torch.rand")]
    return f"""import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, *arguments):
        super().__init__()
        {"; ".join(f"{name} = arguments[{n}]" for n, name in enumerate(names) if name in problem.init) or "pass"}
        {problem.init}

    def forward(self, {", ".join(inputs)}):
        {problem.forward.strip()}


def get_inputs():
    return [{problem.inputs}]


def get_init_inputs():
    return [{problem.arguments}]
"""


def main() -> None:
    """Under TRITON_INTERPRET=1: what KernelBench's protocol says of every candidate of a folder, as JSON."""
    import torch

    from eval.benchmarks.kernelbench.agreement import wrong_codes
    from eval.benchmarks.kernelbench.upstream import Protocol
    from eval.benchmarks.kernelbench.upstream_worker import Problem, check, load_candidate

    folder, found = Path(sys.argv[1]), {}
    codes = {name: code.read_text() for name, code in ((named(key), folder / file(key)) for key in SMALL)}
    for name, code in (codes | {name: code for name, code, _ in wrong_codes(folder, codes)}).items():
        level, number = (int(part) for part in name.split("_")[1:4:2])
        problem = Problem(source(SMALL[level, number]), Protocol())
        path = Path(sys.argv[2]) / f"{name}.py"
        path.write_text(code)
        with torch.no_grad():
            reference = problem.construct(problem.namespace["Model"])
            found[name] = check(problem, reference, problem.construct(load_candidate(path)))
    sys.stdout.write(json.dumps(found))


def named(key: tuple[int, int]) -> str:
    return f"level_{key[0]}_problem_{key[1]}"


def file(key: tuple[int, int]) -> str:
    return f"{named(key)}_sample_0_kernel.py"


if __name__ == "__main__":
    main()
