"""`mmtune check datasets_cfg/cards`: every card read and compiled, its templates too; no row read.

One table a cluster, then all faults at once.
"""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import get_args

from mmtune.config.cards import FLAN_CLUSTERS, Card, Cluster, load_card, load_cards
from mmtune.data.card_rows import Part
from mmtune.data.cards import card_reader
from mmtune.errors import DataError, InputError
from mmtune.templates.pool import load_templates
from mmtune.templates.template import SHOWN, Template

_PICTURE = "image:"
_HEAD_BYTES = 1 << 16
_MADE = {*SHOWN, "answer", "reasoned"}
_COUNTED_TWICE = "opinion_abstracts"
"""The paper counts its two data sets, which the code's collapse map makes one."""


def is_cards(path: Path) -> bool:
    """Whether the path is a folder of YAML files, or a file that says `cluster:`, as every card and
    no recipe does."""
    if path.is_dir():
        return any(path.glob("*.yaml"))
    try:
        with open(path, "rb") as file:
            return bool(re.search(rb"^cluster:", file.read(_HEAD_BYTES), re.MULTILINE))
    except OSError:
        return False


def run(path: Path, overrides: Sequence[str] = ()) -> None:
    """Print the cards of a folder (or one card) and what is wrong with them.

    Templates are looked for in `../templates`, where there is such a folder.
    Raises InputError with every fault that was found.
    """
    if path.is_dir():
        cards, templates = load_cards(path, overrides), path.parent / "templates"
    else:
        card = load_card(path, overrides)
        cards, templates = {card.name: card}, path.parent.parent / "templates"
    faults = [fault for card in cards.values() for fault in _card_faults(card)]
    faults += _siblings_faults(cards)
    written: dict[str, tuple[Template, ...]] = {}
    if templates.is_dir():
        written = _templates(cards, templates, faults)
    _print(cards, written)
    if faults:
        raise InputError(*faults)
    print("\nno faults")


def flan_count(cards: Sequence[Card]) -> int:
    """Data sets as FLAN's paper counts them: siblings are one, but for the opinion abstracts."""
    flan = [card for card in cards if "flan" in card.collections]
    groups = {card.siblings or card.name for card in flan}
    return len(groups) + (_COUNTED_TWICE in groups)


def _card_faults(card: Card) -> list[str]:
    faults: list[str] = []
    try:
        card_reader(card)
    except DataError as error:
        faults += error.faults
    for name in ("train", "dev", "test"):
        try:
            Part.parsed(getattr(card.splits, name) or "none")
        except DataError as error:
            faults.append(f"card {card.name}: splits.{name}: {error}")
    return faults


def _siblings_faults(cards: dict[str, Card]) -> list[str]:
    """A group of one may be a slip of the pen, if another group has nearly its name."""
    sizes = Counter(card.siblings for card in cards.values() if card.siblings)
    faults = []
    for card in cards.values():
        if sizes[card.siblings] != 1:
            continue
        others = [name for name in sizes if name != card.siblings]
        if near := get_close_matches(card.siblings, others, n=1, cutoff=0.8):
            found = f"found {card.siblings!r}, which no other card has"
            faults.append(f"card {card.name}: siblings: {found}; did you mean {near[0]!r}?")
    return faults


def _templates(
    cards: dict[str, Card], folder: Path, faults: list[str]
) -> dict[str, tuple[Template, ...]]:
    written: dict[str, tuple[Template, ...]] = {}
    paths = {name: folder / f"{name}.yaml" for name in cards}
    if missing := [name for name, path in paths.items() if not path.is_file()]:
        files = f"write {folder}/NAME.yaml for each"
        faults.append(f"{len(missing)} cards have no templates: {', '.join(missing)}; {files}")
    for name, path in paths.items():
        if name in missing:
            continue
        card = cards[name]
        try:
            written[name] = load_templates(path)
        except InputError as error:
            faults += error.faults
            continue
        for template in written[name]:
            faults += [f"{path}: {fault}" for fault in _template_faults(template, card)]
    return written


def _template_faults(template: Template, card: Card) -> list[str]:
    faults = []
    if template.task != card.name:
        faults.append(f"task: found {template.task!r}, expected {card.name!r}, the card's name")
    known = {*card.fields, *_MADE}
    there = ", ".join(card.fields)
    for name in sorted(template.names - known):
        if name.startswith(_PICTURE):
            continue
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        faults.append(f"{template.name}: the card has no field {name!r} (it has {there}){hint}")
    if not card.choices and template.names & SHOWN and not template.choices:
        faults.append(f"{template.name}: shows options, but the card has no choices")
    return faults


def _print(cards: dict[str, Card], written: dict[str, tuple[Template, ...]]) -> None:
    order: tuple[Cluster, ...] = get_args(Cluster)
    ranked = sorted(cards.values(), key=lambda card: (order.index(card.cluster), card.name))
    for cluster, group in groupby(ranked, key=lambda card: card.cluster):
        members = list(group)
        print(f"\n{cluster}: {len(members)}")
        for card in members:
            print(f"  {_line(card, written.get(card.name, ()))}".rstrip())
    print(f"\n{_summary(list(cards.values()), written)}")


def _line(card: Card, templates: Sequence[Template]) -> str:
    """`rte  nyu-mll/glue:rte  2 choices  10 templates (2 turned around)  flan, t0_held_out`"""
    choices = f"{len(card.choices)} choices" if isinstance(card.choices, list) else "own choices"
    turned = sum(template.turned_around for template in templates)
    counted = f"{len(templates)} templates ({turned} turned)" if templates else "no templates"
    return (
        f"{card.name:<34}{_origin(card):<52}{choices if card.choices else 'free text':<13}"
        f"{counted:<25}{', '.join(card.collections)}"
    )


def _origin(card: Card) -> str:
    if card.path:
        return card.path
    config = f":{card.hub.config}" if card.hub.config else ""
    return f"{card.hub.path}{config}" if card.hub.path else "by hand (see its note)"


def _summary(cards: Sequence[Card], written: dict[str, tuple[Template, ...]]) -> str:
    flan = [card for card in cards if "flan" in card.collections]
    clusters = {card.cluster for card in flan}
    lines = [
        f"{len(cards)} cards in {len({card.cluster for card in cards})} clusters, "
        f"{sum(map(len, written.values()))} templates for {len(written)} of them",
    ]
    if flan:
        lines.append(
            f"FLAN: {len(flan)} cards, {flan_count(cards)} data sets as the paper counts them, "
            f"{len(clusters)} of its {len(FLAN_CLUSTERS)} clusters"
        )
    counts = Counter(name for card in cards for name in card.collections)
    if counts:
        lines.append("collections: " + ", ".join(f"{k} {v}" for k, v in sorted(counts.items())))
    return "\n".join(lines)
