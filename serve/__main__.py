"""`python -m serve model=NAME serve.model=base|sft|rl|FOLDER [serve.adapter=FOLDER]`: an OpenAI-compatible endpoint.

Becomes vLLM's server where vLLM can run; elsewhere, or with `serve.engine=transformers`, a small one of our own.
Writes its configuration and stamp to `<out>/serve/`.
"""

import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import hydra
from omegaconf import DictConfig

from configs.errors import UsageError, explained
from configs.main import start, validate
from configs.schema import Config
from configs.stages import trained_model
from serve.vllm_command import adapter_rank, choose_engine, vllm_arguments, write_tokenizer


def served_weights(config: Config) -> Path | None:
    """Folder of the weights to serve; None: those that `config.model` names.

    Raises:
        SystemExit: the training stage has not written them.
        UsageError: the folder of the checkpoint or of the adapter holds none.
    """
    if config.serve.adapter:
        adapter_rank(Path(config.serve.adapter))
    if config.serve.model == "base":
        return None
    if config.serve.model in ("sft", "rl"):
        return trained_model(config.out_dir, config.serve.model)
    folder = Path(config.serve.model)
    if not (folder / "config.json").exists():
        raise UsageError(f"serve.model={folder} is none of base, sft and rl, and no folder of a checkpoint")
    return folder


def serve_vllm(config: Config, weights: Path | None) -> None:
    """Replace this process by vLLM's server."""
    from configs.models import weights_location

    arguments = vllm_arguments(config, weights_location(config.model, weights), write_tokenizer(config))
    os.execv(sys.executable, [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", *arguments])


def serve_transformers(config: Config, weights: Path | None) -> None:
    """Serve until interrupted."""
    import uvicorn

    from eval.generate import load_transformers
    from serve.app import make_app

    adapter = Path(config.serve.adapter) if config.serve.adapter else None
    app = make_app(load_transformers(config, weights, config.serve.batch_size, adapter), config)
    print(f"starting {config.model.name} at http://{config.serve.host}:{config.serve.port}/v1", flush=True)
    uvicorn.run(app, host=config.serve.host, port=config.serve.port, log_level="warning")


@hydra.main(version_base=None, config_path="pkg://configs", config_name="config")
def main(cfg: DictConfig) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    config = validate(cfg)
    with explained():
        weights = served_weights(config)
        import torch

        installed = find_spec("vllm") is not None
        engine = choose_engine(config, vllm_installed=installed, gpu=torch.cuda.is_available())
        start(cfg, "serve")
        if engine == "vllm":
            serve_vllm(config, weights)
        else:
            serve_transformers(config, weights)


if __name__ == "__main__":
    main()
