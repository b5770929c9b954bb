"""When vLLM serves, and how it is called."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import ROOT, config_of
from transformers import AutoTokenizer

from configs.models import chat_tokens, load_tokenizer
from serve.vllm_command import choose_engine, vllm_arguments, write_tokenizer


def options(arguments: list[str]) -> dict[str, str]:
    flags = [i for i, word in enumerate(arguments) if word.startswith("--")]
    ends = [*flags[1:], len(arguments)]
    return {arguments[i]: " ".join(arguments[i + 1 : end]) for i, end in zip(flags, ends, strict=True)}


def test_arguments_come_from_the_config(tmp_path):
    config = config_of(
        tmp_path,
        "model=qwen3_8b",
        "serve.tensor_parallel=4",
        "serve.port=9001",
        "serve.host=0.0.0.0",
        "serve.temperature=0.6",
        "serve.top_p=0.95",
        "serve.max_completion_tokens=4096",
    )
    arguments = vllm_arguments(config, "Qwen/Qwen3-8B", Path("/run/tokenizer"))
    assert arguments[0] == "Qwen/Qwen3-8B"
    found = options(arguments)
    sampling = json.loads(found.pop("--override-generation-config"))
    assert sampling == {"temperature": 0.6, "top_p": 0.95, "max_new_tokens": 4096}
    assert found == {
        "--served-model-name": "qwen3_8b",
        "--host": "0.0.0.0",
        "--port": "9001",
        "--dtype": "bfloat16",
        "--max-model-len": "32768",
        "--tensor-parallel-size": "4",
        "--gpu-memory-utilization": "0.9",
        "--tokenizer": "/run/tokenizer",
        "--chat-template": "/run/tokenizer/chat_template.jinja",
        "--generation-config": "vllm",
    }


def test_the_tokenizer_for_vllm_carries_template_and_end(tmp_path):
    config = config_of(tmp_path)
    folder = write_tokenizer(config)
    ours, theirs = load_tokenizer(config.model), AutoTokenizer.from_pretrained(folder)
    template = (folder / "chat_template.jinja").read_text()
    assert template == ours.chat_template
    assert theirs.eos_token_id == ours.eos_token_id
    chat = [{"role": "user", "content": "Write a softmax."}]
    assert chat_tokens(theirs, chat, to_answer=True) == chat_tokens(ours, chat, to_answer=True)


def test_an_adapter_answers_to_the_name_of_the_model(tmp_path):
    config = config_of(tmp_path, "model=qwen3_8b", f"serve.adapter={tmp_path}")
    with pytest.raises(ValueError, match=r"serve\.adapter"):
        vllm_arguments(config, "Qwen/Qwen3-8B", tmp_path)
    for rank, room in ((8, "8"), (48, "64")):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"r": rank}))
        found = options(vllm_arguments(config, "Qwen/Qwen3-8B", tmp_path))
        assert found["--max-lora-rank"] == room
    assert found["--enable-lora"] == ""
    assert found["--lora-modules"] == f"qwen3_8b={tmp_path}"
    assert found["--served-model-name"] == "qwen3_8b-base"
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 1024}))
    with pytest.raises(ValueError, match="1024"):
        vllm_arguments(config, "Qwen/Qwen3-8B", tmp_path)


def test_auto_takes_vllm_only_where_it_can_run(tmp_path):
    real, random = (config_of(tmp_path, f"model={name}", "device=auto") for name in ("smollm2_135m", "tiny"))
    assert choose_engine(real, vllm_installed=True, gpu=True) == "vllm"
    assert choose_engine(random, vllm_installed=True, gpu=True) == "transformers"
    assert choose_engine(real, vllm_installed=False, gpu=True) == "transformers"
    assert choose_engine(real, vllm_installed=True, gpu=False) == "transformers"
    asked = config_of(tmp_path, "model=smollm2_135m", "device=auto", "serve.engine=vllm")
    with pytest.raises(ValueError, match="pip install"):
        choose_engine(asked, vllm_installed=False, gpu=True)
    with pytest.raises(ValueError, match="no GPU"):
        choose_engine(asked, vllm_installed=True, gpu=False)
    spread = config_of(tmp_path, "model=smollm2_135m", "device=auto", "serve.tensor_parallel=8")
    with pytest.raises(ValueError, match=r"serve\.tensor_parallel=8"):
        choose_engine(spread, vllm_installed=True, gpu=False)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["model=smollm2_135m", "serve.engine=vllm"], "serve.engine=vllm"),
        (["model=tiny", "serve.model=rl"], "python -m rl"),
        (["model=tiny", "serve.model=sftt"], "serve.model=sftt"),
        (["model=tiny", "serve.adapter=nowhere"], "serve.adapter=nowhere"),
    ],
)
def test_what_cannot_be_served_ends_with_one_line(tmp_path, overrides, named):
    command = [sys.executable, "-m", "serve", f"out={tmp_path}", *overrides]
    no_gpu = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False, env=no_gpu)
    assert answer.returncode == 1
    assert named in answer.stderr
    assert "Traceback" not in answer.stderr
