"""The pocket tasks' templates: nothing the linter finds, on rows as the world draws them."""

from itertools import islice
from pathlib import Path

import pytest

from mmtune.config.cards import load_cards
from mmtune.config.mixtures import load_mixture
from mmtune.data.cards import open_card
from mmtune.templates.linter import lint
from mmtune.templates.options import VARIANTS
from mmtune.templates.pool import load_templates
from mmtune.types import Example
from mmtune.workflows import check_cards

FOLDER = Path(__file__).resolve().parents[2] / "datasets_cfg" / "pocket"
CARDS = load_cards(FOLDER / "cards")


@pytest.mark.parametrize("name", CARDS)
def test_the_linter_finds_nothing(name: str) -> None:
    rows = [row for row in islice(open_card(CARDS[name], "train"), 40) if isinstance(row, Example)]
    templates = load_templates(FOLDER / "templates" / f"{name}.yaml")
    found = lint(templates, CARDS[name].fields, rows, choices=True)
    assert [str(finding) for finding in found] == []
    for variant in VARIANTS:
        for template in templates:
            assert "{{" not in template.render(rows[0], variant).turns[-2].text


def test_check_has_nothing_to_say_of_the_pocket_cards(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check_cards.run(FOLDER / "cards")
    told = capsys.readouterr().out
    assert "26 cards in 8 clusters, 260 templates for 26 of them" in told and "no faults" in told


def test_the_mixture_draws_from_every_cluster_that_it_does_not_hold_out() -> None:
    mixture = load_mixture(FOLDER / "mixtures" / "flan_pocket.yaml")
    there = {card.cluster for card in CARDS.values()}
    assert {CARDS[name].cluster for name in mixture.cards} == there - {*mixture.hold_out}
    assert len(mixture.hold_out) == 2
