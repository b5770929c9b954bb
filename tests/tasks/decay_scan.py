"""Linear recurrence along the last dimension: h[t] = decay[t] * h[t-1] + x[t], in float32, strictly in order."""

import torch

TOLERANCE = "T32"
CASES = [
    {"name": "small", "args": {"rows": 3, "steps": 16}, "distribution": "normal", "hidden": False},
    {"name": "long", "args": {"rows": 2, "steps": 32}, "distribution": "heavy_tailed", "hidden": False},
    {"name": "odd", "args": {"rows": 4, "steps": 21}, "distribution": "large", "hidden": True},
    {"name": "even", "args": {"rows": 4096, "steps": 32}, "distribution": "normal", "hidden": False, "tier": "gpu"},
    {
        "name": "second",
        "args": {"rows": 1000, "steps": 50},
        "distribution": "heavy_tailed",
        "hidden": False,
        "tier": "gpu",
    },
    {
        "name": "timed",
        "args": {"rows": 32768, "steps": 64},
        "distribution": "normal",
        "hidden": False,
        "tier": "gpu",
        "timed": True,
    },
    {"name": "ragged", "args": {"rows": 997, "steps": 45}, "distribution": "large", "hidden": True, "tier": "gpu"},
    {"name": "last", "args": {"rows": 513, "steps": 63}, "distribution": "normal", "hidden": True, "tier": "gpu"},
]


def make_inputs(case, draw):
    shape = (case["rows"], case["steps"])
    return draw.uniform(*shape, low=0.5, high=1.0), draw.normal(*shape)


def decay_scan(decay, x):
    state = torch.zeros_like(x[:, 0])
    states = []
    for step in range(x.shape[1]):
        state = decay[:, step] * state + x[:, step]
        states.append(state)
    return torch.stack(states, dim=1)
