import random
import time
from pathlib import Path

import numpy as np
import pytest
from chat_models import (
    ROLES,
    SPACING,
    STYLES,
    TEMPLATED,
    as_messages,
    make,
    random_talk,
    talk,
)
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from mmtune.encoding.chat_format import ChatFormat, chat_format
from mmtune.encoding.conversations import encode, encode_many, encode_prompt
from mmtune.encoding.samples import TokenSample, Unencodable
from mmtune.encoding.served import check_served
from mmtune.errors import FormatError
from mmtune.types import Conversation, Dropped, Image, Turn

CASES = [(style, "byte") for style in STYLES] + [
    (style, spacing)
    for style in ("mistral", "mistral_control", "zephyr", "chatml", "base")
    for spacing in SPACING[1:]
]
NO_SYSTEM = {"gemma"}


def learnt(sample: TokenSample, fmt: ChatFormat) -> list[str]:
    """The text of each unbroken run of learnt tokens."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], sample.supervised, [0]])))
    return [
        fmt.tokenizer.decode(sample.ids[start:end])  # type: ignore[attr-defined]
        for start, end in edges.reshape(-1, 2)
    ]


def served(tokenizer: PreTrainedTokenizerFast, conversation: Conversation) -> list[int]:
    return tokenizer.apply_chat_template(
        as_messages(conversation), add_generation_prompt=True, tokenize=True, return_dict=False
    )


@pytest.mark.parametrize(("style", "spacing"), CASES)
def test_prompts_trained_on_are_the_prompts_served(style: str, spacing: str) -> None:
    tokenizer = make(style, spacing)
    fmt = chat_format(tokenizer)
    rng = random.Random(f"{style} {spacing}")
    for _ in range(60):
        roles = rng.choice([r for r in ROLES if style not in NO_SYSTEM or "system" not in r])
        conversation = random_talk(rng, roles)
        asked = Conversation("e", conversation.turns[:-1])
        prompt = encode_prompt(asked, fmt)
        assert prompt.tolist() == served(tokenizer, asked)
        if style != "qwen3":  # whose template lays out a history otherwise
            sample = encode(conversation, fmt)
            assert sample.ids[: len(prompt)].tolist() == prompt.tolist()


@pytest.mark.parametrize(("style", "spacing"), CASES)
def test_control_tokens_in_data_stay_text(style: str, spacing: str) -> None:
    tokenizer = make(style, spacing)
    fmt = chat_format(tokenizer)
    controls = set(fmt.control.aliases)
    ids = [tokenizer.convert_tokens_to_ids(token) for token in controls]
    halves = [half for token in controls for half in (token[:-1], token[1:], token[:4], token[4:])]
    rng = random.Random(f"forge {style} {spacing}")
    for _ in range(60):
        roles = rng.choice([r for r in ROLES if style not in NO_SYSTEM or "system" not in r])
        forging = random_talk(rng, roles, [*controls, *halves])
        clean = talk(*((turn.role, "w") for turn in forging.turns))
        sample, plain = encode(forging, fmt), encode(clean, fmt)
        found = sample.ids[np.isin(sample.ids, ids)].tolist()
        assert found == plain.ids[np.isin(plain.ids, ids)].tolist()
        if spacing == "byte":
            rendering = tokenizer.apply_chat_template(as_messages(forging), tokenize=False)
            assert tokenizer.decode(sample.ids) == rendering


@pytest.mark.parametrize("style", STYLES)
def test_just_the_answers_and_their_stop_tokens_are_learnt(style: str) -> None:
    fmt = chat_format(make(style))
    sample = encode(talk(("user", "Hi?"), ("assistant", "Yes."), ("user", "Me?"),
                         ("assistant", "No.")), fmt)  # fmt: skip
    stop = fmt.tokenizer.decode([fmt.stop_id])  # type: ignore[attr-defined]
    lead = " " if style.startswith("mistral") else ""
    think = "<think>\n\n</think>\n\n" if style == "qwen3" else ""
    assert learnt(sample, fmt) == [f"{lead}Yes.{stop}", f"{lead}{think}No.{stop}"]


@pytest.mark.parametrize(("style", "spacing"), CASES)
def test_many_at_once_are_as_one_by_one(style: str, spacing: str) -> None:
    fmt = chat_format(make(style, spacing))
    rng = random.Random(3)
    talks = [random_talk(rng) for _ in range(20)]
    for one, sample in zip(map(lambda t: encode(t, fmt), talks), encode_many(talks, fmt),
                           strict=True):  # fmt: skip
        assert isinstance(sample, TokenSample)
        assert one.ids.tolist() == sample.ids.tolist() and one.ids.dtype == np.int32
        assert one.supervised.tolist() == sample.supervised.tolist()


@pytest.mark.parametrize("spacing", SPACING)
@pytest.mark.parametrize("style", ["mistral", "zephyr", "base", "mistral_control"])
def test_the_cut_before_an_answer_adds_no_space(style: str, spacing: str) -> None:
    tokenizer = make(style, spacing)
    fmt = chat_format(tokenizer)
    conversation = talk(("user", "Which?"), ("assistant", "red square"))
    rendering = tokenizer.apply_chat_template(as_messages(conversation), tokenize=False)
    whole = tokenizer(rendering, add_special_tokens=False)["input_ids"]
    assert encode(conversation, fmt).ids.tolist() == whole


@pytest.mark.parametrize(("style", "spacing"), CASES)
def test_no_token_joins_a_prompt_with_its_answer(style: str, spacing: str) -> None:
    fmt = chat_format(make(style, spacing))
    for start in ("\n", "\n\n", "  ", "\t", "▁▁", "]", ">"):
        conversation = talk(("user", "Which?"), ("assistant", start + "red"))
        prompt = encode_prompt(Conversation("e", conversation.turns[:1]), fmt)
        sample = encode(conversation, fmt)
        assert sample.ids[: len(prompt)].tolist() == prompt.tolist()
        assert np.flatnonzero(sample.supervised)[0] == len(prompt)


def test_a_turn_the_data_marks_as_context_is_not_learnt() -> None:
    fmt = chat_format(make("chatml"))
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    assert learnt(encode(talk(*turns, unlearnt=(1,)), fmt), fmt) == ["d<|im_end|>"]


def test_a_conversation_with_nothing_to_learn_is_refused_by_name() -> None:
    fmt = chat_format(make("chatml"))
    for conversation in (
        talk(("user", "a")),
        talk(("user", "a"), ("assistant", "b"), unlearnt=(1,)),
    ):
        [dropped] = encode_many([conversation], fmt)
        assert isinstance(dropped, Dropped) and dropped.reason == "nothing_supervised"
        assert (dropped.source, dropped.where) == ("test", "e")


def test_learning_all_learns_everything_but_bos_and_context_answers() -> None:
    fmt = chat_format(make("llama3"), supervise="all")
    sample = encode(talk(("user", "a"), ("assistant", "b")), fmt)
    assert not sample.supervised[0] and sample.supervised[1:].all()
    without = encode(talk(("user", "a"), ("assistant", "b"), unlearnt=(1,)), fmt)
    assert not without.supervised[-2:].any() and without.supervised[1:-2].all()


def test_a_document_is_learnt_whole_between_bos_and_eos() -> None:
    tokenizer = make("llama3")
    fmt = chat_format(tokenizer)
    sample = encode(talk(("document", "Red. <|end|> <|eot_id|>")), fmt)
    assert tokenizer.decode(sample.ids) == "<|begin|>Red. <|end|> <|eot_id|><|end|>"
    specials = np.isin(sample.ids, tokenizer.all_special_ids + list(tokenizer.added_tokens_decoder))
    assert np.flatnonzero(specials).tolist() == [0, len(sample.ids) - 1]
    assert not sample.supervised[0] and sample.supervised[1:].all()


def test_reasoning_that_the_template_moves_is_learnt_where_it_stands() -> None:
    tokenizer = make("qwen3")
    fmt = chat_format(tokenizer)
    thought = "<think>\nsum <|im_end|>\n</think>\n\n4"
    sample = encode(talk(("user", "2+2?"), ("assistant", thought)), fmt)
    assert learnt(sample, fmt) == [thought + "<|im_end|>"]
    think = tokenizer.convert_tokens_to_ids("<think>")
    assert (sample.ids == think).sum() == 1
    assert (sample.ids == fmt.stop_id).sum() == 2
    earlier = encode(talk(("user", "2+2?"), ("assistant", thought), ("user", "3?"),
                          ("assistant", "3")), fmt)  # fmt: skip
    assert learnt(earlier, fmt)[0] == "4<|im_end|>"


@pytest.mark.parametrize(("style", "turns"), [("gemma", 0), ("llama3_newlines", 2)])
def test_other_added_tokens_in_data_are_read_as_when_served(style: str, turns: int) -> None:
    """`turns`: how many the template itself writes."""
    tokenizer = make(style)
    sample = encode(talk(("user", "a\n\nb"), ("assistant", "c\n\nd")), chat_format(tokenizer))
    assert (sample.ids == tokenizer.convert_tokens_to_ids("\n\n")).sum() == 2 + turns


def test_a_control_token_that_is_not_marked_special_is_not_forged_either() -> None:
    tokenizer = make("chatml_not_special")
    fmt = chat_format(tokenizer)
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    sample = encode(talk(("user", "<|im_start|>system"), ("assistant", "<|im_start|>")), fmt)
    assert (sample.ids == start).sum() == 2


def test_a_system_turn_goes_before_the_users_text_where_the_template_takes_none() -> None:
    fmt = chat_format(make("gemma"))
    assert "System role not supported" in fmt.notes[0]
    folded = encode(talk(("system", "Be kind."), ("user", "Hi"), ("assistant", "Yes")), fmt)
    joined = encode(talk(("user", "Be kind.\n\nHi"), ("assistant", "Yes")), fmt)
    assert folded.ids.tolist() == joined.ids.tolist()
    with pytest.raises(Unencodable, match="system_without_user"):
        encode(talk(("user", "Hi"), ("assistant", "Yes"), ("system", "Be kind.")), fmt)


@pytest.mark.parametrize(
    ("conversation", "reason"),
    [
        (Conversation("e", ()), "no_turns"),
        (talk(("user", "a\ud800"), ("assistant", "b")), "invalid_unicode"),
        (talk(("user", "a"), ("user", "b"), ("assistant", "c")), "template_refuses"),
        (talk(("document", "a"), ("user", "b")), "document_among_turns"),
        (
            Conversation("e", (Turn("user", (Image("a.png", "0", 1, 1),)),)),
            "picture_in_text",
        ),
    ],
)
def test_what_has_no_place_in_the_format_is_dropped_with_its_reason(
    conversation: Conversation, reason: str
) -> None:
    fmt = chat_format(make("mistral"))
    good = talk(("user", "a"), ("assistant", "b"))
    results = encode_many([good, conversation, good], fmt)
    assert isinstance(results[0], TokenSample) and isinstance(results[2], TokenSample)
    assert isinstance(results[1], Dropped) and results[1].reason == reason


def test_a_prompt_must_end_in_a_users_turn() -> None:
    with pytest.raises(Unencodable, match="no_user_turn_last"):
        encode_prompt(talk(("user", "a"), ("assistant", "b")), chat_format(make("chatml")))


def test_a_dialogue_that_the_assistant_opens_is_learnt_from_its_first_word() -> None:
    turns = [("assistant", "Welcome"), ("user", "a"), ("assistant", "b")]
    for style, stop in (("chatml", "<|im_end|>"), ("base", "<|end_of_turn|>")):
        fmt = chat_format(make(style))
        assert learnt(encode(talk(*turns), fmt), fmt) == [f"Welcome{stop}", f"b{stop}"]


@pytest.mark.parametrize("style", TEMPLATED)
def test_checking_against_serving_counts_what_it_compared(style: str) -> None:
    rng = random.Random(5)
    fmt = chat_format(make(style))
    talks = [random_talk(rng, "user assistant") for _ in range(5)]
    forging = talk(("user", next(iter(fmt.control.aliases))), ("assistant", "b"))
    assert check_served(fmt, [*talks, forging]) == 5


def test_a_history_laid_out_otherwise_than_in_training_is_noticed() -> None:
    tokenizer = make("chatml")
    done = "{% if messages[-1].role == 'assistant' %}Done. {% endif %}"
    tokenizer.chat_template = done + tokenizer.chat_template
    fmt = chat_format(tokenizer)
    with pytest.raises(FormatError, match="prompt of example e is trained on as"):
        check_served(fmt, [talk(("user", "a"), ("assistant", "b"))])


def test_a_tokenizer_changed_after_its_format_was_made_is_noticed() -> None:
    tokenizer = make("chatml")
    fmt = chat_format(tokenizer)
    tokenizer.add_tokens(["square"])
    with pytest.raises(FormatError, match="but served as"):
        check_served(fmt, [talk(("user", "a square"), ("assistant", "b"))])


def _real(name: str, weights: Path) -> PreTrainedTokenizerFast:
    if name == "stories":
        return PreTrainedTokenizerFast.from_pretrained(weights / "stories260K_llama")
    folder = weights / "tokenizers" / "gpt2"
    model = BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=end, eos_token=end)


@pytest.mark.parametrize("name", ["gpt2", "stories"])
def test_real_base_tokenizers_serve_what_they_train_in_the_lima_layout(
    name: str, shared: Path
) -> None:
    tokenizer = _real(name, shared / "data" / "weights")
    fmt = chat_format(tokenizer, "lima")
    rng = random.Random(9)
    talks = [random_talk(rng) for _ in range(60)]
    assert check_served(fmt, talks) == 60
    stop = tokenizer.convert_tokens_to_ids("<|end_of_turn|>")
    controls = list(fmt.control.aliases)
    for _ in range(40):
        sample = encode(random_talk(rng, "system user assistant", controls), fmt)
        assert (sample.ids == stop).sum() == 2 and sample.ids[-1] == stop
        assert sample.ids[0] == tokenizer.bos_token_id
        assert (sample.ids == tokenizer.bos_token_id).sum() == 1


def test_encoding_keeps_pace() -> None:
    """A guard against a slow path; the figure itself is far above (see the closing note)."""
    fmt = chat_format(make("base"))
    rng = random.Random(1)
    talks = [random_talk(rng, "user assistant") for _ in range(300)]
    start = time.process_time()
    encode_many(talks, fmt)
    assert 300 / (time.process_time() - start) > 500
