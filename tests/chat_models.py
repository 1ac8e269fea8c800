"""Tiny tokenizers with chat templates in the styles that models in use have, made on the spot."""

import functools
import json
import random

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from mmtune.types import Conversation, Text, Turn

SENTENCES = [
    "Which of the two numbers is larger, and why do you think so?",
    "The red square is left of the blue circle.\n\nThere are 3 shapes.",
    "user assistant system im_start im_end start_of_turn INST think",
    "def add(a, b):\n    return a + b\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich.",
]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}"
    "{{ m.content | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set s = messages[0].content %}"
    "{% set loop_messages = messages[1:] %}{% else %}{% set s = '' %}"
    "{% set loop_messages = messages %}{% endif %}"
    "{% for m in loop_messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}{% if loop.first and s %}"
    "{{ ' [INST] ' + s + '\n\n' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' [INST] ' + m.content + ' [/INST]' }}{% endif %}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<start_of_turn>' + role + '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
QWEN3 = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role != 'assistant' %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% else %}"
    "{% set content = m.content %}{% set why = '' %}{% if '</think>' in content %}"
    "{% set why = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>assistant\n' }}{% if loop.index0 > ns.last %}"
    "{{ '<think>\n' + why + '\n</think>\n\n' }}{% endif %}{{ content + '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# name -> template, special tokens, other added tokens, BOS, EOS
STYLES = {
    "chatml": (CHATML, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], [], None, "<|im_end|>"),
    "chatml_not_special": (CHATML, ["<|im_end|>"], ["<|im_start|>"], None, "<|im_end|>"),
    "llama3": (
        LLAMA3,
        ["<|begin|>", "<|end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        [],
        "<|begin|>",
        "<|end|>",
    ),
    "llama3_newlines": (LLAMA3, ["<|begin|>", "<|eot_id|>"], ["\n\n"], "<|begin|>", "<|eot_id|>"),
    "mistral": (MISTRAL, ["<unk>", "<s>", "</s>"], [], "<s>", "</s>"),
    "mistral_control": (
        MISTRAL, ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], [], "<s>", "</s>",
    ),
    "gemma": (
        GEMMA,
        ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
        ["\n\n", "\n\n\n"],
        "<bos>",
        "<eos>",
    ),
    "zephyr": (ZEPHYR, ["<unk>", "<s>", "</s>"], [], "<s>", "</s>"),
    "qwen3": (
        QWEN3,
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        ["<think>", "</think>"],
        None,
        "<|im_end|>",
    ),
    "base": (None, ["<|endoftext|>"], [], "<|endoftext|>", "<|endoftext|>"),
    "base_no_bos": (None, ["<|endoftext|>"], [], None, "<|endoftext|>"),
}  # fmt: skip
TEMPLATED = [name for name, style in STYLES.items() if style[0]]
SPACING = ["byte", "byte_prefix", "metaspace_first", "metaspace_always", "prepend", "no_prefix"]


@functools.cache
def _trained(spacing: str) -> str:
    """A tokenizer without added tokens, as JSON; `spacing` is how it treats spaces."""
    backend = Tokenizer(BPE(byte_fallback=not spacing.startswith("byte")))
    alphabet: list[str] = []
    if spacing.startswith("byte"):
        prefix = spacing == "byte_prefix"
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
        if spacing.startswith("metaspace"):
            scheme = spacing.removeprefix("metaspace_")
            backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
        else:
            steps = [normalizers.Prepend("▁")] if spacing == "prepend" else []
            steps.append(normalizers.Replace(" ", "▁"))
            backend.normalizer = normalizers.Sequence(steps)
        backend.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
    if spacing.startswith("byte"):
        trainer = BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    else:
        trainer = BpeTrainer(vocab_size=600, special_tokens=alphabet, show_progress=False)
    backend.train_from_iterator(SENTENCES * 3, trainer)
    text = backend.to_str()
    if not spacing.startswith("byte"):  # byte tokens belong to the model, not the added ones
        spec = json.loads(text)
        spec["added_tokens"] = []
        text = json.dumps(spec)
    return text


def make(style: str, spacing: str = "byte") -> PreTrainedTokenizerFast:
    template, special, added, bos, eos = STYLES[style]
    backend = Tokenizer.from_str(_trained(spacing))
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    backend.add_tokens([AddedToken(token, normalized=False) for token in added])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=bos, eos_token=eos)
    tokenizer.chat_template = template
    return tokenizer


ROLES = [
    "user assistant",
    "system user assistant",
    "user assistant user assistant",
    "system user assistant user assistant user assistant",
]
_SCRAPS = [
    "red", " square", "\n", "\n\n", " ", "  ", "2 + 2", "é", "日本", "🙂", "'s", ".", "<", "|", ">",
    "assistant", "user", "[INST", "im_end", "</", "_", "\t", "why", "{{ x }}", "▁", "Ġ", "0",
]  # fmt: skip


def random_text(rng: random.Random, extra: list[str] | None = None) -> str:
    """Scraps in any order; never without a letter, so that no template trims it to nothing."""
    scraps = _SCRAPS + (extra or []) * 3
    return "".join(rng.choices(scraps, k=rng.randrange(0, 9))) + "w" + rng.choice(scraps)


def random_talk(
    rng: random.Random, roles: str = "", extra: list[str] | None = None
) -> Conversation:
    """Answers begin with no white space, which may join with what the template puts before."""
    turns = []
    for role in (roles or rng.choice(ROLES)).split():
        text = random_text(rng, extra)
        text = text.lstrip("▁ \n\t") if role == "assistant" else text
        turns.append(Turn(role, (Text(text),)))  # type: ignore[arg-type]
    return Conversation(f"e{rng.randrange(10**6)}", tuple(turns), "test")


def talk(*turns: tuple[str, str], unlearnt: tuple[int, ...] = ()) -> Conversation:
    made = [
        Turn(role, (Text(text),), learn=number not in unlearnt)  # type: ignore[arg-type]
        for number, (role, text) in enumerate(turns)
    ]
    return Conversation("e", tuple(made), "test")


def as_messages(conversation: Conversation) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.text} for turn in conversation.turns]
