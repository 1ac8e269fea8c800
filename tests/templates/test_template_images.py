"""Picture slots: parts of the user's turn, or of the assistant's where the answer is a picture."""

import pytest

from mmtune.errors import FormatError
from mmtune.templates.template import Template, check_fields
from mmtune.types import Example, Image, Text

PICTURE = Image("p.png", "0" * 64, 4, 4)


def shown(**fields: str) -> Example:
    return Example(
        id="v/1", source="v", task="v", fields=fields, images={"picture": PICTURE}, where="v:1"
    )


def test_a_picture_is_a_part_of_the_users_turn() -> None:
    asks = Template("v/a", "v", "{{ image:picture }}\n{{ question }}")
    turns = asks.render(shown(question="What?", answer="A dog")).turns
    assert turns[0].parts == (PICTURE, Text("\nWhat?")) and turns[1].parts == (Text("A dog"),)


def test_an_answer_may_be_a_picture() -> None:
    draws = Template("v/d", "v", "Draw {{ caption }}", "{{ image:picture }}")
    assert draws.render(shown(caption="a dog")).turns[1].parts == (PICTURE,)


def test_a_picture_that_is_not_there_is_named_with_the_nearest() -> None:
    wrong = Template("v/w", "v", "{{ image:pictur }}x")
    with pytest.raises(FormatError, match="no picture 'pictur'.*Did you mean 'picture'"):
        wrong.render(shown(answer="A"))
    faults = check_fields(wrong, [], ["picture"])
    assert len(faults) == 1 and "Did you mean 'picture'" in faults[0]


def test_fields_are_checked_before_any_row_is_rendered() -> None:
    asks = Template("v/a", "v", "{{ premis }} {{ other }} {{ x | default('') }}\n{{ options }}")
    faults = check_fields(asks, ["premise", "hypothesis"])
    assert len(faults) == 2
    assert "no field 'other'" in faults[0] and "no field 'premis'" in faults[1]
    assert "Did you mean 'premise'" in faults[1]
    assert len(check_fields(asks, ["premise"], choices=False)) == 3


def test_a_reasoned_answer_needs_a_rationale() -> None:
    reasons = Template("v/r", "v", "Why?", "{{ reasoned }}")
    assert check_fields(reasons, ["rationale"]) == [] and check_fields(reasons, ["text"])
    said = {
        reasons.render(
            Example(id=str(n), source="v", task="v", fields={"rationale": "R.", "answer": "seven"})
        )
        .turns[1]
        .text
        for n in range(200)
    }
    assert len(said) == 10
    assert all(text.startswith("R.") and "seven" in text for text in said)
