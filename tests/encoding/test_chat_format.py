import re
from pathlib import Path

import pytest
from chat_models import CHATML, MISTRAL, TEMPLATED, as_messages, make, talk
from transformers import PreTrainedTokenizerFast

from mmtune.encoding.chat_format import chat_format
from mmtune.encoding.conversations import encode, encode_prompt
from mmtune.encoding.lima_layout import END_OF_TURN, LIMA_TEMPLATE, add_lima_format
from mmtune.errors import FormatError
from mmtune.types import Conversation

STOPS = {
    "chatml": ["<|im_end|>"],
    "chatml_not_special": ["<|im_end|>"],
    "llama3": ["<|eot_id|>", "<|end|>"],
    "llama3_newlines": ["<|eot_id|>"],
    "mistral": ["</s>"],
    "mistral_control": ["</s>"],
    "gemma": ["<end_of_turn>", "<eos>"],
    "zephyr": ["</s>"],
    "qwen3": ["<|im_end|>"],
    "base": [END_OF_TURN, "<|endoftext|>"],
    "base_no_bos": [END_OF_TURN, "<|endoftext|>"],
}


@pytest.mark.parametrize("style", STOPS)
def test_generation_stops_at_the_token_that_closes_answers(style: str) -> None:
    fmt = chat_format(make(style))
    assert fmt.kind == ("own" if style in TEMPLATED else "lima")
    assert fmt.tokenizer.convert_ids_to_tokens(list(fmt.stop_ids)) == STOPS[style]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("style", "template", "message"),
    [
        ("chatml", CHATML.replace("'<|im_end|>'", "''"), "never closed by a token"),
        ("mistral", MISTRAL.replace("+ eos_token", ""), "never closed by a token"),
        ("mistral", "{{ bos_token }}" + MISTRAL, "beginning-of-text token '<s>' twice"),
        ("chatml", CHATML.replace("m.content", "m.content + m.content"), "writes turn 1 2 times"),
        ("chatml", CHATML.replace("m.content", "m.content | length"), "template_refuses"),
        (
            "chatml",
            CHATML.replace("assistant\\n' }}", "assistant\\n<think>' }}").replace(
                "assistant\n' }}", "assistant\n<think>' }}"
            ),
            "answer_not_opened_as_served",
        ),
    ],
)
def test_a_template_that_cannot_be_learnt_is_an_error_with_its_cause(
    style: str, template: str, message: str
) -> None:
    tokenizer = make(style)
    tokenizer.chat_template = template
    with pytest.raises(FormatError, match=re.escape(message)):
        chat_format(tokenizer)


def test_the_own_template_cannot_be_asked_of_a_tokenizer_without_one() -> None:
    with pytest.raises(FormatError, match="set model.chat_format to lima or auto"):
        chat_format(make("base"), "own")


def test_a_tokenizer_without_a_fast_backend_is_refused() -> None:
    class Slow:
        chat_template = None

    with pytest.raises(FormatError, match="fast backend"):
        chat_format(Slow())  # type: ignore[arg-type]


def test_the_lima_layout_closes_every_turn_and_writes_no_role() -> None:
    tokenizer = make("base")
    assert add_lima_format(tokenizer) == len(tokenizer) - 1
    size = len(tokenizer)
    assert add_lima_format(tokenizer) == size - 1 and len(tokenizer) == size
    conversation = talk(("system", "Be kind."), ("user", "Hi"), ("assistant", "Yes"))
    rendering = tokenizer.apply_chat_template(as_messages(conversation), tokenize=False)
    assert rendering == f"<|endoftext|>Be kind.\n\nHi{END_OF_TURN}Yes{END_OF_TURN}"
    plain = make("base_no_bos")
    add_lima_format(plain)
    rendering = plain.apply_chat_template(as_messages(conversation)[1:], tokenize=False)
    assert rendering == f"Hi{END_OF_TURN}Yes{END_OF_TURN}"


def test_lima_can_take_the_place_of_an_own_template() -> None:
    tokenizer = make("chatml")
    fmt = chat_format(tokenizer, "lima")
    assert fmt.kind == "lima" and tokenizer.chat_template == LIMA_TEMPLATE


@pytest.mark.parametrize("style", ["base", "llama3", "qwen3"])
def test_the_saved_tokenizer_serves_what_was_trained(style: str, tmp_path: Path) -> None:
    fmt = chat_format(make(style))
    fmt.tokenizer.save_pretrained(tmp_path)  # type: ignore[attr-defined]
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    asked = talk(("system", "Be kind."), ("user", " 2 + 2?\n"))
    served = loaded.apply_chat_template(
        as_messages(asked), add_generation_prompt=True, tokenize=True, return_dict=False
    )
    assert encode_prompt(asked, fmt).tolist() == served
    answered = Conversation("e", (*asked.turns, *talk(("assistant", "4")).turns))
    again = chat_format(loaded)
    assert encode(answered, again).ids.tolist() == encode(answered, fmt).ids.tolist()
    assert again.kind == fmt.kind


def test_making_a_format_leaves_the_tokenizer_as_it_was() -> None:
    tokenizer = make("llama3")
    before = tokenizer.backend_tokenizer.to_str()
    encode(talk(("user", "<|eot_id|>"), ("assistant", "b")), chat_format(tokenizer))
    assert tokenizer.backend_tokenizer.to_str() == before
    assert tokenizer.backend_tokenizer.encode_special_tokens is False


def test_a_template_that_treats_the_last_answer_otherwise_is_noted() -> None:
    assert any("opens the last answer" in note for note in chat_format(make("qwen3")).notes)
    assert chat_format(make("chatml")).notes == ()
