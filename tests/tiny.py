"""Tiny real models and a tokenizer, built in code and seeded: no downloads, no files.

Every test-suite uses these. A model of 2 layers and width 32 is built in milliseconds.
"""

from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

Kind = Literal[
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "gpt_neox", "gpt2"
]

WIDTH = 32
HEADS = 4

_CONFIGS: dict[str, type[PretrainedConfig]] = {
    "llama": LlamaConfig,
    "mistral": MistralConfig,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
    "gemma": GemmaConfig,
    "gemma2": Gemma2Config,
    "gemma3": Gemma3TextConfig,
    "gpt_neox": GPTNeoXConfig,
    "gpt2": GPT2Config,
}
KINDS: tuple[str, ...] = tuple(_CONFIGS)

_SENTENCES = (
    "The red square stands left of the blue circle.",
    "How many green triangles are there? There are three green triangles.",
    "Sort these numbers: 9, 4, 7, 1. The answer is 1, 4, 7, 9.",
    "Write a short letter to a friend who moved to another town last week.",
    "user assistant system question answer: yes, no, perhaps.",
)

_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny_model(
    kind: str = "llama",
    vocab_size: int = 320,
    *,
    layers: int = 2,
    tied: bool = False,
    seed: int = 0,
    **overrides: Any,
) -> PreTrainedModel:
    """A causal language model of `kind` with random weights, in eval mode and float32.

    Every dropout of the architecture is 0 unless `overrides` (fields of the config) say otherwise.
    The global random state is left as it was.
    """
    sizes = _gpt2_sizes(layers) if kind == "gpt2" else _sizes(kind, layers)
    settings = sizes | {
        "vocab_size": vocab_size,
        "tie_word_embeddings": tied,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "initializer_range": 0.1,  # the usual 0.02 makes so small a model nearly constant
    }
    config = _CONFIGS[kind](**(settings | overrides))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model.eval()


def _sizes(kind: str, layers: int) -> dict[str, Any]:
    sizes: dict[str, Any] = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 512,
    }
    if kind != "gpt_neox":
        sizes["num_key_value_heads"] = HEADS // 2
    if kind in ("qwen3", "gemma", "gemma2", "gemma3", "mistral"):
        sizes["head_dim"] = WIDTH // HEADS
    if kind in ("gemma2", "gemma3"):
        sizes["query_pre_attn_scalar"] = WIDTH // HEADS
    return sizes


def _gpt2_sizes(layers: int) -> dict[str, Any]:
    return {
        "n_embd": WIDTH,
        "n_inner": 2 * WIDTH,
        "n_layer": layers,
        "n_head": HEADS,
        "n_positions": 512,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }


def tiny_tokenizer(
    chat: Literal["chatml"] | None = None, *, adds_bos: bool = False, vocab_size: int = 310
) -> PreTrainedTokenizerFast:
    """A byte-level BPE with `<s>` (0), `</s>` (1) and `<pad>` (2).

    `chatml` adds `<|im_start|>` and `<|im_end|>` (the EOS then, as in Qwen's instruct models) and a
    chat template. `adds_bos` puts `<s>` before every encoding *and* at the start of the chat
    template, as Llama 3 does: encoding the rendered text naively gives two.
    """
    marks = ["<s>", "</s>", "<pad>"]
    if chat == "chatml":
        marks += ["<|im_start|>", "<|im_end|>"]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_SENTENCES, trainer)
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="<|im_end|>" if chat == "chatml" else "</s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )
    if chat == "chatml":
        tokenizer.chat_template = ("{{ bos_token }}" if adds_bos else "") + _CHATML
    return tokenizer
