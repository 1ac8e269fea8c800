"""Few-shot prompts: exemplars keyed, never the example itself, within the budget; both layouts."""

from dataclasses import replace

import pytest

from mmtune.templates.formats import (
    DELIMITERS,
    FewShot,
    draw_exemplars,
    few_shot,
    mixed_shots,
)
from mmtune.templates.template import Template
from mmtune.types import Example, Image, Text

PLAIN = Template("sums/a", "sums", "What is {{ q }}?", system="Be brief")


def row(number: int) -> Example:
    fields = {"q": f"{number} + 1", "answer": str(number + 1)}
    return Example(id=f"sums/{number}", source="sums", task="sums", fields=fields)


ROWS = [row(n) for n in range(40)]
WORDS = FewShot(shots=3, budget_tokens=0)


def words(text: str) -> int:
    return len(text.split())


def asked(rule: FewShot, number: int = 0, **known):
    found = few_shot(ROWS[number], ROWS, PLAIN.render, rule, **known)
    assert found is not None
    return found


def test_exemplars_stand_before_the_question_as_turns_that_are_not_learnt() -> None:
    found = asked(WORDS)
    roles = [turn.role for turn in found.turns]
    assert roles == ["system", *["user", "assistant"] * 4]
    assert [turn.learn for turn in found.turns if turn.role == "assistant"] == [False] * 3 + [True]
    assert found.turns[-2:] == PLAIN.render(ROWS[0]).turns[-2:] and found.example_id == "sums/0"


def test_in_one_turn_the_prompt_ends_where_the_answer_begins() -> None:
    rule = replace(WORDS, layout="one_turn")
    seen = set()
    for number in range(40):
        found = asked(rule, number)
        assert [turn.role for turn in found.turns] == ["system", "user", "assistant"]
        text = found.turns[1].text
        style = next(d for d in DELIMITERS[::-1] if text.endswith(f"?{d.answer.rstrip()}"))
        seen.add(style)
        assert text.count("What is") == 4 and text.count("Be brief") == 0
        assert text == text.rstrip() and f"What is {number} + 1?" in text[-40:]
    assert len(seen) >= 5


def test_pairs_are_laid_out_with_the_drawn_delimiters() -> None:
    rule = FewShot(shots=1, layout="one_turn", budget_tokens=0)
    found = {asked(rule, n).turns[1].text for n in range(40)}
    laid = set()
    for number in range(40):
        other = draw_exemplars(ROWS[number], ROWS, 1)[0].fields
        for d in DELIMITERS:
            laid.add(
                f"{d.question}What is {other['q']}?{d.answer}{other['answer']}{d.between}"
                f"{d.question}What is {number} + 1?{d.answer.rstrip()}"
            )
    assert found <= laid


def test_exemplars_are_keyed_by_seed_and_example_and_never_the_example_itself() -> None:
    def ids(number: int, seed: int = 0) -> list[str]:
        return [e.id for e in draw_exemplars(ROWS[number], ROWS, 5, seed=seed)]

    drawn = [ids(n) for n in range(40)]
    assert [ids(n) for n in reversed(range(40))] == drawn[::-1] and ids(0, seed=1) != drawn[0]
    assert all(len(set(d)) == 5 and f"sums/{n}" not in d for n, d in enumerate(drawn))
    assert len({tuple(d) for d in drawn}) == 40


def test_a_copy_of_the_example_under_another_id_is_no_exemplar() -> None:
    copies = [replace(ROWS[0], id=f"copy/{n}") for n in range(5)]
    assert draw_exemplars(ROWS[0], [*copies, ROWS[0], ROWS[1]], 5) == [ROWS[1]]
    assert few_shot(ROWS[0], copies, PLAIN.render, WORDS) is None


def test_few_exemplars_give_all_of_them() -> None:
    assert len(draw_exemplars(ROWS[0], ROWS[:4], 9)) == 3


@pytest.mark.parametrize("layout", ["turns", "one_turn"])
@pytest.mark.parametrize("budget", [12, 16, 25, 60])
def test_the_budget_holds_and_one_more_exemplar_would_break_it(layout, budget: int) -> None:
    rule = FewShot(shots=5, layout=layout, budget_tokens=budget)
    for number in range(20):
        found = few_shot(ROWS[number], ROWS, PLAIN.render, rule, count_tokens=words)
        if found is None:
            continue
        size = words("".join(turn.text for turn in found.turns[:-1]))
        shots = sum(turn.text.count("What is") for turn in found.turns) - 1
        assert size <= budget and 1 <= shots <= 5
        if shots < 5:
            more = asked(FewShot(shots + 1, layout, 0), number)
            assert words("".join(turn.text for turn in more.turns[:-1])) > budget


def test_nothing_that_fits_gives_none_and_no_shots_the_plain_prompt() -> None:
    tight = FewShot(shots=5, budget_tokens=5)
    assert few_shot(ROWS[0], ROWS, PLAIN.render, tight, count_tokens=words) is None
    assert asked(FewShot(shots=0)) == PLAIN.render(ROWS[0])
    with pytest.raises(ValueError, match="count_tokens"):
        few_shot(ROWS[0], ROWS, PLAIN.render, FewShot())


def test_pictures_stay_in_their_places_in_one_turn() -> None:
    shows = Template("v/a", "v", "{{ image:p }}{{ q }}")

    def seen(name: str) -> Example:
        picture = {"p": Image(f"{name}.png", name, 4, 4)}
        fields = {"q": f"{name}?", "answer": name}
        return Example(id=name, source="v", task="v", fields=fields, images=picture)

    rule = FewShot(shots=1, layout="one_turn", budget_tokens=0)
    found = few_shot(seen("a"), [seen("b")], shows.render, rule)
    parts = [part for part in found.turns[0].parts if part != Text("")]
    pictures = [part.uri for part in parts if isinstance(part, Image)]
    assert (
        pictures == ["b.png", "a.png"]
        and "b?" in parts[parts.index(Image("b.png", "b", 4, 4)) + 1].text
    )


def test_mixed_shots_average_two_and_a_half_of_ten_and_are_keyed() -> None:
    counts = [mixed_shots(row(n), 10) for n in range(1_000)]
    assert counts == [mixed_shots(row(n), 10) for n in range(1_000)]
    assert 2.3 < sum(counts) / 1_000 < 2.7 and min(counts) == 0
