"""Every card's ten templates: nothing the linter finds, and every rendering in every variant."""

from pathlib import Path

import pytest

from mmtune.config.cards import Card, load_cards
from mmtune.templates.linter import lint, near_identical
from mmtune.templates.options import VARIANTS
from mmtune.templates.pool import load_templates
from mmtune.types import Example

FOLDER = Path(__file__).resolve().parents[2] / "datasets_cfg"
CARDS = load_cards(FOLDER / "cards")
OPTIONS = ("the lantern by the gate", "a heron over the pond", "seven brass keys")

AS_FIELDS = {
    "copa": ("choice1", "choice2"),
    "piqa": ("solution1", "solution2"),
    "winogrande": ("option1", "option2"),
}
"""Cards whose choices are fields too, or end in what follows one."""


def made_up(card: Card, number: int) -> Example:
    """Fields that say nothing of each other, so that whatever leaks is the template's doing."""
    choices = tuple(card.choices) if isinstance(card.choices, list) else OPTIONS
    answer = choices[number % len(choices)] if choices else f"Replied thing {number} of {card.name}"
    fields = {name: f"Text {number} of the field {name}." for name in card.fields}
    if card.name in AS_FIELDS:
        choices = tuple(fields[name] for name in AS_FIELDS[card.name])
        answer = choices[number % 2]
    return Example(
        id=f"{card.name}/{number}",
        source=card.name,
        task=card.name,
        fields=fields | {"answer": answer},
        choices=choices,
    )


@pytest.mark.parametrize("name", CARDS)
def test_the_linter_finds_nothing(name: str) -> None:
    card = CARDS[name]
    templates = load_templates(FOLDER / "templates" / f"{name}.yaml")
    examples = [made_up(card, number) for number in range(8)]
    found = lint(templates, card.fields, examples, choices=bool(card.choices))
    assert [str(finding) for finding in found] == []


@pytest.mark.parametrize("name", CARDS)
def test_every_template_renders_in_every_variant(name: str) -> None:
    example = made_up(CARDS[name], 1)
    for template in load_templates(FOLDER / "templates" / f"{name}.yaml"):
        for variant in VARIANTS:
            turns = template.render(example, variant).turns
            assert [turn.role for turn in turns][-2:] == ["user", "assistant"]
            asked = turns[-2].text
            assert asked == asked.strip() and "\n\n\n" not in asked, template.name
            assert "{{" not in asked and "None" not in asked


def test_no_two_data_sets_share_a_template_word_for_word() -> None:
    """Bare forms such as "question, options" may be alike; a whole phrasing may not be copied."""
    seen: dict[str, str] = {}
    copied = []
    for name in CARDS:
        for template in load_templates(FOLDER / "templates" / f"{name}.yaml"):
            words = " ".join(template.ask.split())
            if words in seen and len(words) > 60:
                copied.append((template.name, seen[words]))
            seen[words] = template.name
    assert not copied


def test_siblings_are_not_copies_of_each_other() -> None:
    groups: dict[str, list[str]] = {}
    for card in CARDS.values():
        if card.siblings:
            groups.setdefault(card.siblings, []).append(card.name)
    for names in groups.values():
        every = [
            template
            for name in names
            for template in load_templates(FOLDER / "templates" / f"{name}.yaml")
        ]
        alike = list(near_identical(every, 0.9))
        assert not alike, [str(finding) for finding in alike]
