"""Nouns of the sandbox, in flow order: Case, Tolerance, Job, Verdict. Frozen, JSON-able, units in the names.

No torch here: the supervisor imports this module and must stay light.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PROTOCOL_VERSION = "18"
"""Changes whenever a verdict could change for the same job. Part of every stamp and cache key."""

Stage = Literal["extract", "screen", "trace", "plan", "compile", "launch", "numerics", "timeout", "tamper"]
Distribution = Literal["normal", "heavy_tailed", "large", "structured"]
Policy = Literal["triton_only", "mixed"]
Baseline = Literal["eager", "compile", "max-autotune", "library", "flash"]
COMPILED_BASELINES: tuple[Baseline, ...] = ("compile", "max-autotune")
OWN_BASELINES: tuple[Baseline, ...] = ("library", "flash")
"""Those that a task's reference may define, under the same name."""
Target = Literal["sm_80", "sm_90", "sm_100", "gfx942", "gfx950"]


class Record(BaseModel):
    """Immutable value object; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Case(Record):
    """One set of shapes and dtypes on which a candidate must be right."""

    name: str
    args: dict[str, int | float | str | bool] = {}
    """Passed to the task's `make_inputs(case, draw)`; shapes, dtypes, flags."""
    distribution: Distribution = "normal"
    """How `draw` fills floating-point inputs."""
    hidden: bool = False
    """Never shown in a prompt; a rejection on it says only that a hidden case failed."""
    timed: bool = False
    """Timed where there is a GPU. If no case is, the public one with the largest inputs is."""


class Tolerance(Record):
    """How far a candidate may be from the float64 truth `r`, per output (reference_suite conventions, section 2).

    With `rms = sqrt(mean(r²))`, an output passes when `‖y-r‖/‖r‖ <= rel_l2`, every element has
    `|y-r| <= atol_rms·rms + rtol·|r|`, and `y` is finite where `r` is. Where an honest evaluation in the
    case's own dtype misses a limit itself, the limit becomes twice that error. Integer outputs are exact.
    """

    rel_l2: float
    rtol: float
    atol_rms: float


TOLERANCES: dict[str, Tolerance] = {
    "T32": Tolerance(rel_l2=1e-5, rtol=1e-4, atol_rms=1e-4),
    "TT": Tolerance(rel_l2=1e-3, rtol=1e-2, atol_rms=1e-2),
    "T16": Tolerance(rel_l2=2e-3, rtol=1e-2, atol_rms=1e-2),
    "TB": Tolerance(rel_l2=8e-3, rtol=3e-2, atol_rms=3e-2),
    "TS": Tolerance(rel_l2=1e-4, rtol=1e-3, atol_rms=1e-4),
}
"""Tolerance codes of the reference suite: fp32, TF32, fp16, bf16, long sums. TQ is TB on given codes."""


class Limits(Record):
    """What one candidate may use. Exceeding a time limit is `Rejected(stage="timeout")`."""

    trace_seconds: float = 20.0
    """Wall-clock for running the candidate's Python over all cases on fake tensors."""
    run_seconds: float = 30.0
    """Wall-clock for executing one case."""
    compile_seconds: float = 30.0
    """Wall-clock for compiling one kernel for one target."""
    memory_mib: int = 2048
    """Memory that one candidate process may allocate beyond the interpreter it starts with."""
    arena_mib: int = 1024
    """Inputs, outputs and scratch of one case together, on a CPU."""
    gpu_arena_mib: int = 16384
    """The same on a GPU; rotating input sets for timing must fit in it too."""
    gpu_seconds: float = 10.0
    """Wall-clock for executing one case, or one timed sample, on a GPU."""


class TimingRequest(Record):
    """What to measure once a candidate is right. Without a GPU nothing is measured."""

    runs: int = 30
    """Timed samples of the candidate and of each baseline, interleaved in random order; fewer of slow baselines."""
    baselines: tuple[Baseline, ...] = ("eager",)
    """What to compare with: PyTorch as a user writes it (the task's `eager`, else its reference), the same under
    `torch.compile` in its default mode or in `max-autotune-no-cudagraphs`, and the task's `library`."""


class Job(Record):
    """One question to the sandbox. The random seed is deliberately not in it: the judge draws it in secret."""

    reference: str
    """Python source of the task file: the function `<entry_point>(*inputs)` and `make_inputs(case, draw)`, or
    KernelBench style `Model`, `get_inputs`, `get_init_inputs`."""
    candidate: str
    """Python source to judge."""
    entry_point: str
    """Name of the function that the candidate must define (the reference defines the same name), or `ModelNew`
    for a KernelBench style reference, which defines `Model`."""
    cases: tuple[Case, ...]
    """Public and hidden cases; all must pass."""
    tolerance: Tolerance
    policy: Policy = "triton_only"
    """`triton_only`: besides launches only allocation, fills, views and copies. `mixed`: whitelisted torch operators
    too, replayed and timed with the rest; the share of time spent in launches is reported as coverage."""
    rehearsal: tuple[Case, ...] = ()
    """Small public cases on which a sandbox with a GPU runs the kernels under the interpreter first: it sees races and
    accesses out of bounds that may come out right on a GPU."""
    mutates: tuple[int, ...] = ()
    """Positions of tensor inputs that the task wants changed in place; all others must come out as they went in."""
    timing: TimingRequest | None = TimingRequest()
    targets: tuple[Target, ...] = ()
    """Compile every kernel ahead of time for these and report registers, spills and instructions."""
    limits: Limits = Limits()


class CaseResult(Record):
    """A case that came out right."""

    name: str
    hidden: bool
    distribution: Distribution
    rel_l2: float
    """Largest relative L2 error over the outputs, against float64."""
    limit_share: float
    """Largest error as a share of its limit (1 = just accepted)."""
    launches: int


class Timing(Record):
    """One timed case. A number without a stamp does not exist."""

    case: str
    baseline: Baseline
    candidate_ms: float
    """Median."""
    baseline_ms: float
    ratio: float
    """baseline / candidate: above 1 the candidate is faster."""
    ratio_low: float
    ratio_high: float
    """95 % bootstrap interval of the ratio."""
    candidate_peak_mib: float
    """Outputs and scratch of one call."""
    baseline_peak_mib: float
    """Most memory in use during one call beyond its inputs."""
    baseline_breaks: int = 0
    """At how many places `torch.compile` left a compiled baseline to Python: it could be faster without them."""
    roofline_ms: float
    limited_by: Literal["bytes", "flops"]
    clock: str
    samples: int
    """Rounds in which both were timed."""
    stamp: dict[str, str]


class Machine(Record):
    """What the roofline needs to know of a GPU."""

    bytes_per_ms: float
    flops_per_ms: float


class KernelStats(Record):
    """Static resource use of one kernel compiled ahead of time; no GPU is needed and none was used."""

    kernel: str
    target: Target
    registers: int
    """Per thread (NVIDIA) or VGPRs per lane (AMD)."""
    spills: int
    """Spilled bytes per thread (NVIDIA) or spilled VGPRs (AMD)."""
    shared_bytes: int
    """Shared memory (LDS) of one block."""
    instructions: dict[str, int]
    """Instruction mix: counts by class (tensor, fp, integer, memory_global, memory_shared, control, other)."""


class Passed(Record):
    """Right on every case."""

    kind: Literal["passed"] = "passed"
    cases: tuple[CaseResult, ...]
    timings: tuple[Timing, ...] | None = None
    """None without a GPU: interpreter time is never presented as speed."""
    coverage: float | None = None
    """Share of replay time spent in Triton launches; None when nothing was timed."""
    static: tuple[KernelStats, ...] = ()
    stamp: dict[str, str] = {}


class Rejected(Record):
    """The candidate's fault."""

    kind: Literal["rejected"] = "rejected"
    stage: Stage
    reason: str
    """One sentence for a person (or a model) who wants to mend the candidate."""
    log: str = ""
    """The candidate's own traceback or output, length-capped."""
    cases_right: tuple[int, int] | None = None
    """(cases right, cases in all) where cases were run before the rejection."""


class Broken(Record):
    """Our fault, or the host's: never a reward, never a data point."""

    kind: Literal["broken"] = "broken"
    reason: str


Verdict = Annotated[Passed | Rejected | Broken, Field(discriminator="kind")]
