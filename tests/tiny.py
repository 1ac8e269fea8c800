"""Tiny real models and a tokenizer, built in code and seeded: no downloads, no files.

Every test-suite uses these. A model of 2 layers and width 32 is built in milliseconds.
"""

import json
import string
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MT5Config,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    T5Config,
    T5Tokenizer,
    UMT5Config,
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


_T5_CONFIGS: dict[str, type[PretrainedConfig]] = {
    "t5": T5Config,
    "flan_t5": T5Config,
    "mt5": MT5Config,
    "umt5": UMT5Config,
}
T5_KINDS: tuple[str, ...] = tuple(_T5_CONFIGS)


def tiny_pair_model(
    kind: str = "t5", vocab_size: int = 200, *, seed: int = 0, **overrides: Any
) -> PreTrainedModel:
    """An encoder-decoder with random weights, in eval mode, without dropout.

    `t5` is the layout of T0's base (relu, head tied and scaled); `flan_t5` that of T5 1.1 (gated
    gelu, a head of its own); `bart` has learnt absolute positions.
    """
    sizes = _bart_sizes() if kind == "bart" else _t5_sizes(kind)
    marks = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    config_class = BartConfig if kind == "bart" else _T5_CONFIGS[kind]
    config = config_class(vocab_size=vocab_size, **(sizes | marks | overrides))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32)
        if kind != "t5" and kind != "bart":
            model.lm_head.weight = torch.nn.Parameter(torch.randn(vocab_size, WIDTH) * 0.3)
    return model.eval()


def _t5_sizes(kind: str) -> dict[str, Any]:
    sizes: dict[str, Any] = {
        "d_model": WIDTH,
        "d_kv": WIDTH // HEADS,
        "d_ff": 2 * WIDTH,
        "num_layers": 2,
        "num_heads": HEADS,
        "dropout_rate": 0.0,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 20,
    }
    newer = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    return sizes if kind == "t5" else sizes | newer


def _bart_sizes() -> dict[str, Any]:
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", 2), ("attention_heads", HEADS), ("ffn_dim", 2 * WIDTH))
    }
    return {"d_model": WIDTH, "dropout": 0.0, "init_std": 0.2, "bos_token_id": 0, **sides}


def tiny_pair_tokenizer() -> T5Tokenizer:
    """A unigram tokenizer as T5 has it: `<pad>` (0), `</s>` (1), `<unk>` (2), sentinels last, all
    of them pieces of the model, white space never kept, no `<` and no newline."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always", split=True),
        ]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=180,
        initial_alphabet=list(string.ascii_letters + string.digits + ".,:;?!/_'+-="),
        unk_token="<unk>",
        show_progress=False,
    )
    core.train_from_iterator(_SENTENCES, trainer)
    learnt = json.loads(core.to_str())["model"]["vocab"]
    marks = [(mark, 0.0) for mark in ("<pad>", "</s>", "<unk>")]
    pieces = [(piece, score) for piece, score in learnt if piece != "<unk>"]
    sentinels = [(f"<extra_id_{number}>", 0.0) for number in (3, 2, 1, 0)]
    return T5Tokenizer(vocab=[*marks, *pieces, *sentinels], extra_ids=4)
