"""Start of every main: Hydra composes, pydantic checks, resolved config and stamp are written beside the outputs."""

import json
import sys

from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from configs.errors import folder_for
from configs.schema import Config
from configs.stamp import stamp, write_json, write_text


def validate(cfg: DictConfig) -> Config:
    """Check a composed config.

    Raises:
        SystemExit: a key is unknown, a value has the wrong type, or values do not fit together; the message names
            the key.
    """
    try:
        # JSON mode: YAML has lists where the schema says tuple, and strict mode must still refuse "3" for 3.
        return Config.model_validate_json(_to_json(cfg))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'config'}: {e['msg']}" for e in error.errors()]
        sys.exit("Configuration is wrong:\n" + "\n".join(lines))


def start(cfg: DictConfig, stage: str) -> Config:
    """Validate, then write `<out>/<stage>/config.yaml` and `stamp.json`. Call before any heavy import.

    Raises:
        UsageError: the folder cannot be written to.
    """
    config = validate(cfg)
    folder = folder_for(f"out={config.out}", config.out_dir / stage)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json"))))
    write_json(folder / "stamp.json", stamp())
    return config


def _to_json(cfg: DictConfig) -> str:
    return json.dumps(OmegaConf.to_container(cfg, resolve=True))
