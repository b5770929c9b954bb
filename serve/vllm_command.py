"""When vLLM serves, and the command line with which it does (checked against the parser of vLLM 0.25.1).

Our tokenizer goes along as a folder: it holds the chat template and the end-of-sequence token that training used,
which the weights' own files may not.
"""

import json
from pathlib import Path
from typing import Literal

from configs.errors import UsageError
from configs.schema import Config

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM takes for --max-lora-rank."""


def choose_engine(config: Config, *, vllm_installed: bool, gpu: bool) -> Literal["vllm", "transformers"]:
    """What serves: serve.engine, with `auto` resolved.

    Raises:
        UsageError: vLLM was asked for and cannot run here; the message says what to do.
    """
    wanted = config.serve.engine
    if wanted == "auto":
        able = vllm_installed and gpu and config.device != "cpu" and config.model.source != "random"
        wanted = "vllm" if able else "transformers"
    if wanted == "transformers" and config.serve.tensor_parallel > 1:
        raise UsageError(
            f"serve.tensor_parallel={config.serve.tensor_parallel} is for vLLM, and transformers would serve here; "
            "set 1, or run it where vLLM and GPUs are"
        )
    if wanted == "vllm" and not vllm_installed:
        raise UsageError(
            "serve.engine=vllm, but vLLM is not installed: pip install -e '.[gpu]', or set "
            "serve.engine=transformers (slow; for small models)"
        )
    if wanted == "vllm" and not gpu:
        raise UsageError(
            "serve.engine=vllm, but torch sees no GPU: run it on a GPU host, or set "
            "serve.engine=transformers (slow; for small models)"
        )
    return wanted


def adapter_rank(adapter: Path) -> int:
    """Rank of a LoRA adapter.

    Raises:
        UsageError: the folder holds none.
    """
    path = adapter / "adapter_config.json"
    if not path.exists():
        raise UsageError(f"serve.adapter={adapter} holds no LoRA adapter (no adapter_config.json)")
    return int(json.loads(path.read_text())["r"])


def write_tokenizer(config: Config) -> Path:
    """Folder `<out>/serve/tokenizer`, with `chat_template.jinja` in it."""
    from configs.models import load_tokenizer

    folder = config.out_dir / "serve" / "tokenizer"
    load_tokenizer(config.model).save_pretrained(folder)
    return folder


def vllm_arguments(config: Config, weights: str, tokenizer: Path) -> list[str]:
    """Arguments of `vllm serve`. With an adapter, `model.name` answers with it, and `<model.name>-base` without.

    Args:
        weights: folder or hub name.
        tokenizer: what `write_tokenizer` wrote.
    """
    serve, name = config.serve, config.model.name
    sampling = {"temperature": serve.temperature, "top_p": serve.top_p, "max_new_tokens": serve.max_completion_tokens}
    arguments = [weights]
    arguments += ["--served-model-name", f"{name}-base" if serve.adapter else name]
    arguments += ["--host", serve.host, "--port", str(serve.port)]
    arguments += ["--dtype", config.model.dtype, "--max-model-len", str(config.model.context_tokens)]
    arguments += ["--tensor-parallel-size", str(serve.tensor_parallel)]
    arguments += ["--gpu-memory-utilization", str(serve.gpu_memory)]
    arguments += ["--tokenizer", str(tokenizer), "--chat-template", str(tokenizer / "chat_template.jinja")]
    # `vllm`: not the defaults that come with the weights, which would add a top_k and others of their own.
    arguments += ["--generation-config", "vllm", "--override-generation-config", json.dumps(sampling)]
    if serve.adapter:
        rank = adapter_rank(Path(serve.adapter))
        room = next((allowed for allowed in LORA_RANKS if allowed >= rank), None)
        if room is None:
            raise UsageError(f"serve.adapter={serve.adapter} has rank {rank}; vLLM takes at most {LORA_RANKS[-1]}")
        arguments += ["--enable-lora", "--max-lora-rank", str(room), "--lora-modules", f"{name}={serve.adapter}"]
    return arguments
