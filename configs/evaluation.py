"""Config groups of evaluation and serving."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.group import Group, NonNegative, Positive, Share


class EndpointConfig(Group):
    url: str
    """Base URL of an OpenAI-compatible API, with its /v1."""
    model: str
    """The name under which the endpoint serves it."""
    key_variable: str | None
    """Environment variable that holds the API key; null: the endpoint asks for none."""
    concurrency: Positive
    """Requests under way at the same time."""
    timeout_seconds: Annotated[float, Field(gt=0)]
    """For one request, its time in the endpoint's queue included."""
    retries: NonNegative
    """Of one request, after a lost connection, a full queue or a fault of the server; with growing pauses."""


class EvalConfig(Group):
    model: Literal["base", "sft", "rl"]
    """Which stage's weights to evaluate: the untouched model, `<out>/sft/model` or `<out>/rl/model`."""
    samples: Positive
    """Completions a task."""
    pass_k: tuple[Positive, ...]
    """k of pass@k, each at most `samples`."""
    temperature: Annotated[float, Field(ge=0)]
    """0: the likeliest token each time, so that all samples of a task are one."""
    max_completion_tokens: Positive
    batch_size: Positive
    engine: Literal["transformers", "vllm", "openai", "files"]
    """`openai`: what `endpoint` serves is evaluated, whatever `model` says. `files`: the answers of `answers` are."""
    gpu_memory: Share
    """Of the GPU's memory, for vLLM; less where something else runs there as well."""
    endpoint: EndpointConfig
    tasks: NonNegative
    """At most this many tasks; 0 means all."""
    benchmark: Literal["heldout", "kernelbench", "tritonbench_g", "tritonbench_t", "suite"]
    """Whose tasks: the data stage's held-out ones, KernelBench's levels 1 to 3, one half of TritonBench, or the
    reference suite's."""
    root: str | None
    """Clone of the benchmark; of KernelBench also the name of its data set on the hub (null: its own name)."""
    answers: str | None
    """With engine=files: the folder of a run in KernelBench's layout (`level_1_problem_2_sample_0_kernel.py`, …), or
    a .jsonl file of TritonBench's, or `golds` for its gold code; of the suite a folder of <operator>.py."""
    seed: int = 0

    @model_validator(mode="after")
    def _files_have_answers(self) -> Self:
        if (self.engine == "files") != (self.answers is not None):
            raise ValueError("eval.engine=files and eval.answers=FOLDER belong together; set both or neither")
        if self.benchmark == "heldout" and (self.answers is not None or self.root is not None):
            raise ValueError("eval.answers and eval.root need a benchmark; set eval.benchmark=kernelbench")
        return self

    @model_validator(mode="after")
    def _k_within_samples(self) -> Self:
        if max(self.pass_k) > self.samples:
            raise ValueError(f"eval.pass_k={self.pass_k} needs eval.samples >= {max(self.pass_k)}, not {self.samples}")
        return self

    @property
    def subject(self) -> Literal["base", "sft", "rl", "endpoint", "files"]:
        """What is evaluated; the name of its folder."""
        if self.engine == "openai":
            return "endpoint"
        return "files" if self.engine == "files" else self.model


class ServeConfig(Group):
    engine: Literal["auto", "vllm", "transformers"]
    """`auto`: vLLM where it is installed and there is a GPU, else transformers."""
    model: str
    """`base`, `sft` or `rl` as of eval.model, or the folder of a checkpoint."""
    adapter: str | None
    """Folder of a LoRA adapter (PEFT) for these weights; null: none."""
    host: str
    port: Annotated[int, Field(gt=0, lt=65536)]
    temperature: Annotated[float, Field(ge=0, le=2)]
    """Of requests that name none; likewise `top_p`."""
    top_p: Share
    max_completion_tokens: Positive
    """Of requests that name no limit, and the most that any request gets."""
    tensor_parallel: Positive
    """GPUs that hold one model together (vLLM)."""
    gpu_memory: Share
    """As of eval.gpu_memory: an evaluation of what is served may have its sandbox on the same GPU."""
    batch_size: Positive
    """Completions written together (transformers); vLLM batches continuously."""
    wait_ms: NonNegative
    """How long the first request of a batch waits for others (transformers)."""
