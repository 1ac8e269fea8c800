"""What an encoder reads and a decoder learns, in tokens, is what T5's own tokenizer makes of it."""

from dataclasses import replace

import pytest
from chat_models import talk
from tiny import tiny_pair_tokenizer

from mmtune.encoding.chat_format import ChatFormat, chat_format
from mmtune.encoding.conversations import encode, encode_many, encode_prompt
from mmtune.encoding.pair_layout import PAIR_TEMPLATE, add_pair_format
from mmtune.encoding.pairs import divided
from mmtune.encoding.samples import TokenSample, Unencodable
from mmtune.encoding.served import check_served
from mmtune.types import Dropped

TOKENIZER = tiny_pair_tokenizer()
add_pair_format(TOKENIZER)
FORMAT: ChatFormat = replace(chat_format(TOKENIZER), pairs=True)
QUESTION, ANSWER = "How many green  triangles\nare there?", "There are three."


def sides(*turns: tuple[str, str]) -> tuple[list[int], list[int]]:
    prompt, target = divided(encode(talk(*turns), FORMAT))
    return prompt.tolist(), target.tolist()


def test_one_exchange_is_two_texts_as_the_tokenizer_itself_reads_them() -> None:
    prompt, target = sides(("user", QUESTION), ("assistant", ANSWER))
    assert prompt == TOKENIZER(QUESTION).input_ids
    assert target == TOKENIZER(text_target=ANSWER).input_ids
    assert target[-1] == TOKENIZER.eos_token_id and FORMAT.stop_ids == (target[-1],)


def test_a_prompt_is_encoded_as_it_was_trained_on_and_as_it_is_served() -> None:
    asked = [{"role": "user", "content": QUESTION}]
    prompt, _ = sides(("user", QUESTION), ("assistant", ANSWER))
    assert encode_prompt(talk(("user", QUESTION)), FORMAT).tolist() == prompt
    served = TOKENIZER.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    assert served == prompt


def test_of_a_longer_talk_the_last_answer_is_learnt_and_the_rest_is_read() -> None:
    turns = [("system", "Be short."), ("user", "Why?"), ("assistant", "So."), ("user", "Oh?")]
    prompt, target = sides(*turns, ("assistant", "Yes."), ("user", "Well."))
    texts = ["Be short.\n\nWhy?", "So.", "Oh?"]
    assert prompt == [i for text in texts for i in TOKENIZER(text).input_ids]
    assert target == TOKENIZER("Yes.").input_ids
    assert check_served(FORMAT, [talk(*turns, ("assistant", "Yes."))]) == 1


@pytest.mark.parametrize("mark", ["</s>", "<extra_id_0>", "<pad>", "<unk>"])
def test_the_spelling_of_a_control_token_in_data_stays_plain_text(mark: str) -> None:
    """T5's unigram model has them among its pieces, so that plain text could become them."""
    assert TOKENIZER.convert_tokens_to_ids(mark) in TOKENIZER(f"a {mark} b").input_ids
    prompt, target = sides(("user", f"a {mark} b"), ("assistant", f"{mark} c"))
    controls = set(TOKENIZER.added_tokens_decoder) - {TOKENIZER.unk_token_id}
    assert controls.isdisjoint(prompt[:-1]) and controls.isdisjoint(target[:-1])
    spelled = "".join(TOKENIZER.convert_ids_to_tokens(prompt[:-1])).replace("<unk>", "")
    assert mark.strip("<>") in spelled  # "<" itself is not in T5's vocabulary


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([("document", "Once upon a time.")], "document_without_prompt"),
        ([("assistant", "Hello")], "no_pair"),
        ([("user", "Hello")], "no_pair"),
    ],
)
def test_what_is_no_pair_is_left_out_with_its_reason(
    turns: list[tuple[str, str]], reason: str
) -> None:
    with pytest.raises(Unencodable) as refused:
        encode(talk(*turns), FORMAT)
    assert refused.value.reason == reason
    [left_out, kept] = encode_many([talk(*turns), talk(("user", "a"), ("assistant", "b"))], FORMAT)
    assert isinstance(left_out, Dropped) and left_out.reason == reason
    assert isinstance(kept, TokenSample)


def test_an_answer_that_is_not_to_be_learnt_is_no_sample() -> None:
    with pytest.raises(Unencodable, match="nothing_supervised"):
        encode(talk(("user", "a"), ("assistant", "b"), unlearnt=(1,)), FORMAT)


def test_a_tokenizer_with_a_template_of_its_own_keeps_it() -> None:
    tokenizer = tiny_pair_tokenizer()
    own = "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token + '. ' }}{% endfor %}"
    tokenizer.chat_template = own + "{% if add_generation_prompt %}assistant: {% endif %}"
    add_pair_format(tokenizer)
    assert tokenizer.chat_template != PAIR_TEMPLATE
    fmt = replace(chat_format(tokenizer), pairs=True)
    prompt, target = divided(encode(talk(("user", "a b"), ("assistant", "c")), fmt))
    assert tokenizer.decode(prompt) == "user: a b</s> . assistant:"
    assert tokenizer.decode(target) == "c</s>"  # what it writes after that is not learnt
