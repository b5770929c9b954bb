"""One pydantic model a config group. A wrong key, type or combination fails at once and names the key."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.evaluation import EvalConfig, ServeConfig
from configs.group import Fraction, Group, LearningRate, NonNegative, Positive


class ModelConfig(Group):
    name: str
    source: Literal["package", "hub", "random"]
    """`package`: weights inside an installed Python package; `hub`: a Hugging Face name; `random`: tiny, for tests."""
    path: str
    """Package name, hub name, or the hub name of the architecture that `random` imitates."""
    dtype: Literal["float32", "bfloat16"]
    """Precision of the weights on a GPU; training on a CPU is always float32."""
    context_tokens: Positive
    """Longest prompt plus completion that the model can take."""
    parameters_millions: Annotated[float, Field(gt=0)]
    """For the report and for memory estimates; checked against the real shapes by a test."""


class PackageConfig(Group):
    name: str
    version: str
    pairing: bool = True
    """Look for PyTorch code beside its kernels, and make tasks of both; takes seconds for each pair."""


class GitConfig(Group):
    url: str
    """Anything that `git fetch` understands: the folder of a clone too."""
    revision: str
    """A branch, a tag or a full commit."""
    pairing: bool = True
    """As of a package."""


class HubConfig(Group):
    name: str
    """Of a data set on the hub, or the path of a .parquet or .jsonl file with the same columns."""
    format: Literal["kernelbook", "kernelbench"]
    """Whose columns it has."""
    split: str = "train"
    revision: str = "main"
    licence: str = "unknown"
    """SPDX identifier of rows that state none; what is not allowed is refused."""


class DataConfig(Group):
    packages: tuple[PackageConfig, ...]
    """Packages to harvest, downloaded by name and version from the package index; nothing of them is executed."""
    git: tuple[GitConfig, ...]
    """Repositories to harvest, likewise."""
    hub: tuple[HubConfig, ...]
    """Data sets of PyTorch modules; their code runs in isolation only."""
    opdb: bool
    """Tasks from PyTorch's own operator database."""
    inductor: str | None
    """Folder of programs that Inductor wrote, captured on a GPU host; null: none."""
    synthetic_tasks: NonNegative
    """Synthetic programs to propose; only those whose solution passes the sandbox are kept."""
    max_solution_pieces: Positive
    """Longest synthetic solution, in words, digits and symbol runs. Up to 240 all are written in one plain style that a
    small model can learn; above, styles, tilings and prompt formats vary."""
    synthetic_families: tuple[str, ...]
    """Families of synthetic programs to propose; none: all."""
    operators: tuple[Annotated[float, Field(ge=0)], ...]
    """How often a synthetic program has one, two, … operators, as weights."""
    seed: int
    kernelbench: str | None
    """Clone of KernelBench; what is like one of its items is dropped. null: not compared."""
    tritonbench: str | None
    """Clone of TritonBench, likewise."""
    heldout_families: tuple[str, ...]
    """Families that no training stage sees."""
    heldout_tasks: Positive
    """Tasks kept of each held-out family."""


class SandboxConfig(Group):
    workers: NonNegative
    """Candidates judged at the same time; 0 means one a CPU core."""
    gpus: Annotated[int, Field(ge=-1)]
    """GPUs that judge candidates; 0: none, kernels run under Triton's interpreter; -1: all. A GPU that also trains or
    generates can check candidates, but not time them fairly."""
    timing: bool
    """Time what is right, against the reference; needs a GPU."""
    cache: str | None
    """Folder in which verdicts and compiled kernels are kept for later runs; null: nothing is kept."""
    policy: Literal["triton_only", "mixed"]
    targets: tuple[Literal["sm_80", "sm_90", "sm_100", "gfx942", "gfx950"], ...]
    trace_seconds: Annotated[float, Field(gt=0)]
    run_seconds: Annotated[float, Field(gt=0)]
    compile_seconds: Annotated[float, Field(gt=0)]
    memory_mib: Positive

    @model_validator(mode="after")
    def _only_gpus_are_timed(self) -> Self:
        if self.timing and not self.gpus:
            raise ValueError("sandbox.timing=true times on GPUs that judge; set sandbox.gpus, -1 for all")
        return self


class RewardConfig(Group):
    recipe: Literal["default", "autotriton"]
    stage_credit: Annotated[dict[str, Annotated[float, Field(ge=0, lt=1)]], Field(default_factory=dict)]
    """Reward of a rejection by its stage (`default` recipe only); stages left out are worth 0. A pass is worth 1."""
    numerics_credit: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest extra for a rejection in which some cases were right, scaled by the share of cases right."""

    @model_validator(mode="after")
    def _credit_fits_recipe(self) -> Self:
        if self.recipe == "autotriton" and (self.stage_credit or self.numerics_credit):
            raise ValueError("reward.recipe=autotriton is rule × execution: no stage_credit, no numerics_credit")
        if self.stage_credit and max(self.stage_credit.values()) + self.numerics_credit >= 1:
            raise ValueError("reward.stage_credit plus numerics_credit must stay below 1, the reward of a pass")
        return self


class LoraConfig(Group):
    rank: Positive
    alpha: Positive
    dropout: Fraction = 0.0


class SftConfig(Group):
    max_steps: NonNegative
    """0: skip the stage."""
    batch_size: Positive
    accumulation_steps: Positive
    learning_rate: LearningRate
    warmup_ratio: Fraction
    max_length: Positive
    """Tokens of one conversation; longer ones are dropped and counted, never cut."""
    packing: bool
    liger: bool
    lora: LoraConfig | None = None
    save_steps: Positive
    gradient_checkpointing: bool = False
    seed: int = 0


class RlConfig(Group):
    max_steps: NonNegative
    """0: skip the stage."""
    group_size: Annotated[int, Field(ge=2)]
    """Completions a prompt; the advantage is taken within the group."""
    prompts_per_step: Positive
    micro_batch: Positive
    """Completions in one forward and backward pass."""
    learning_rate: LearningRate
    max_prompt_tokens: Positive
    max_completion_tokens: Positive
    temperature: Annotated[float, Field(gt=0)]
    beta: Annotated[float, Field(ge=0)]
    epsilon: Annotated[float, Field(gt=0, lt=1)]
    epsilon_high: Annotated[float, Field(gt=0, lt=1)]
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo"]
    scale_rewards: Literal["none", "group", "batch"]
    mask_truncated: bool
    engine: Literal["transformers", "vllm"]
    save_steps: Positive
    gradient_checkpointing: bool = False
    seed: int = 0

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        completions = self.group_size * self.prompts_per_step
        if completions % self.micro_batch:
            raise ValueError(
                f"rl.group_size × rl.prompts_per_step = {completions} must be a multiple of "
                f"rl.micro_batch={self.micro_batch}"
            )
        return self


class Config(Group):
    """The whole configuration of a run; every main takes this one object."""

    out: str
    """Folder of the run; every stage writes to its own sub-folder."""
    device: Literal["auto", "cpu", "cuda"]
    model: ModelConfig
    data: DataConfig
    sandbox: SandboxConfig
    reward: RewardConfig
    sft: SftConfig
    rl: RlConfig
    eval: EvalConfig
    serve: ServeConfig

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        tokens = self.rl.max_prompt_tokens + self.rl.max_completion_tokens
        if tokens > self.model.context_tokens:
            raise ValueError(
                f"rl.max_prompt_tokens + rl.max_completion_tokens = {tokens} exceeds "
                f"model.context_tokens={self.model.context_tokens}"
            )
        if self.sft.max_length > self.model.context_tokens:
            raise ValueError(
                f"sft.max_length={self.sft.max_length} exceeds model.context_tokens={self.model.context_tokens}"
            )
        if self.device == "cpu" and "vllm" in (self.rl.engine, self.eval.engine, self.serve.engine):
            raise ValueError(
                "device=cpu cannot use engine=vllm; set rl.engine, eval.engine and serve.engine to transformers"
            )
        return self

    @property
    def out_dir(self) -> Path:
        return Path(self.out)
