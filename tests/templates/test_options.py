"""Options: FLAN's block to the letter, and its variants with what is to be answered in each."""

import pytest

from mmtune.errors import FormatError
from mmtune.templates.options import BULLETS, HEADERS, VARIANTS, lay_out
from mmtune.templates.template import Template
from mmtune.types import Example

CHOICES = ("yes", "it is not possible to tell", "no")
NLI = Template("nli/a", "nli", ask="{{ text }}\n\n{{ options }}")


def example(number: int = 0, answer: str = "no", **fields: str) -> Example:
    known = {"text": "T", "answer": answer} | fields
    return Example(id=f"nli/{number}", source="nli", task="nli", fields=known, choices=CHOICES)


def block(variant, number: int = 0, seed: int = 0) -> str:
    return lay_out(CHOICES, variant, seed=seed, example_id=f"nli/{number}").block


def test_the_block_is_flans() -> None:
    assert block("with") == "OPTIONS:\n- yes\n- it is not possible to tell\n- no"


def test_without_options_the_ask_ends_before_the_blank_lines() -> None:
    asked, answered = NLI.render(example(), "without").turns
    assert (asked.text, answered.text) == ("T", "no")


def test_blank_lines_and_options_inside_data_are_left_alone() -> None:
    text = "a\n\n\n\n{{ options }}\n\n"
    assert NLI.render(example(text=text), "without").turns[0].text == text


def test_letters_go_by_position_and_become_the_answer() -> None:
    asked, answered = NLI.render(example(), "lettered").turns
    assert asked.text.endswith("OPTIONS:\n(A) yes\n(B) it is not possible to tell\n(C) no")
    assert answered.text == "(C)"


def test_thirty_options_have_thirty_labels() -> None:
    choices = [str(number) for number in range(30)]
    laid = lay_out(choices, "lettered", seed=0, example_id="x")
    assert laid.targets[25:28] == ("(Z)", "(AA)", "(AB)") and len(set(laid.targets)) == 30


def test_a_turned_around_template_is_never_lettered() -> None:
    turned = Template(
        "nli/t", "nli", "Write what is {{ answer }}", "{{ text }}", turned_around=True
    )
    assert turned.render(example(), "lettered").turns[0].text == "Write what is no"


def test_a_template_that_shows_no_options_keeps_its_answer_text() -> None:
    plain = Template("nli/p", "nli", "{{ text }} yes, no, or no telling?")
    assert plain.render(example(), "lettered").turns[1].text == "no"
    listed = Template("nli/l", "nli", "{{ text }} {{ choices | join(', ') }}?")
    asked, answered = listed.render(example(), "lettered").turns
    assert asked.text == "T yes, it is not possible to tell, no?" and answered.text == "no"


def test_shuffling_is_keyed_by_seed_and_example_and_nothing_else() -> None:
    first = [block("shuffled", n) for n in range(60)]
    assert [block("shuffled", n) for n in reversed(range(60))] == first[::-1]
    assert len(set(first)) == 6
    assert [block("shuffled", n, seed=1) for n in range(60)] != first
    assert all(sorted(b.split("\n")) == sorted(block("with").split("\n")) for b in first)


def test_shuffled_options_keep_the_answer() -> None:
    assert NLI.render(example(7), "shuffled").turns[1].text == "no"


def test_varied_blocks_use_every_header_and_bullet() -> None:
    blocks = [block("varied", n) for n in range(2_000)]
    for header in filter(None, HEADERS):
        assert any(b.startswith(header + "\n") for b in blocks)
    for bullet in BULLETS:
        assert any(f"{bullet.mark(0)}yes" in b for b in blocks)


def test_a_label_is_the_answer_only_where_labels_are_unique() -> None:
    for number in range(300):
        laid = lay_out(CHOICES, "varied", seed=0, example_id=str(number))
        assert laid.targets == CHOICES or len(set(laid.targets)) == 3
        line = laid.block.split("\n")[-1]
        assert laid.targets[2].rstrip(".") in line
    for bullet in BULLETS:
        marks = [bullet.mark(i) for i in range(40)]
        assert (bullet.label is not None) == (len(set(marks)) == 40)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("answer", CHOICES)
def test_targets_hold_what_is_answered_in_every_variant(variant, answer: str) -> None:
    said = Template("nli/b", "nli", ask="{{ text }}\n{{ options }}", answer="It is {{ answer }}!")
    for number in range(12):
        shown = example(number, answer)
        rendered = said.render(shown, variant, seed=3).turns[-1].text
        assert said.targets(shown, variant, seed=3)[CHOICES.index(answer)] == rendered


def test_an_answer_that_is_no_choice_is_told_of() -> None:
    with pytest.raises(FormatError, match="'maybe' is none of the choices.*Check the card"):
        NLI.render(example(answer="maybe"))


def test_a_template_may_have_words_of_its_own_for_the_choices() -> None:
    own = Template("nli/o", "nli", "{{ text }}\n{{ options }}", choices="true ||| open ||| false")
    asked, answered = own.render(example()).turns
    assert asked.text == "T\nOPTIONS:\n- true\n- open\n- false" and answered.text == "false"
    short = Template("nli/s", "nli", "{{ options }}", choices="true ||| false")
    with pytest.raises(FormatError, match="2 choices, the example 3"):
        short.render(example())


def test_bars_inside_data_do_not_part_choices() -> None:
    own = Template("nli/o", "nli", "{{ options }}", choices="{{ text }} ||| b ||| c")
    assert own.render(example(text="x|||y")).turns[0].text == "OPTIONS:\n- x|||y\n- b\n- c"
