"""A mixture's cards read, once, to disk: which of them, how much of each, in which templates."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mmtune import __version__
from mmtune.config.cards import Card, load_cards
from mmtune.config.mixtures import Mixture
from mmtune.data.capping import capped
from mmtune.data.card_rows import is_local
from mmtune.data.cards import OpenedCard, open_card
from mmtune.data.example_store import (
    ExampleStore,
    dropped_rows,
    has_examples,
    open_examples,
    write_examples,
)
from mmtune.data.holding_out import may_train
from mmtune.data.mixing import Part, shares
from mmtune.errors import ConfigError, DataError, FormatError, InputError
from mmtune.templates.pool import RULES, TemplatePool, load_pool, named
from mmtune.templates.template import Template, check_fields
from mmtune.types import Dropped, Example
from mmtune.workflows.mixture import OpenedMixture

Watch = Callable[[Iterator[Example | Dropped]], Iterable[Example | Dropped]]
"""Passes rows on and shows progress."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are: cards, templates, local files in place of the hub (by card), and where
    the rows that were read are put."""

    cards: Path
    templates: Path
    paths: Mapping[str, str]
    folder: Path


def open_mixture(
    mixture: Mixture, places: Places, *, seed: int, watch: Watch, held_out: float = 0.0
) -> OpenedMixture:
    """Read every card's training rows to `places.folder` (what an earlier start read there is
    used), and weigh them by the mixture's rule.

    `held_out`: the part of examples that will be kept from training.

    Raises ConfigError or DataError with all faults of cards and templates at once; what only the
    hub can tell comes when it is asked.
    """
    cards = load_cards(places.cards)
    chosen, left_out = _chosen(mixture, cards, places.paths)
    faults: list[str] = []
    pool = _pool(mixture, places.templates, chosen, faults)
    opened = {}
    for card in chosen:
        try:
            opened[card.name] = open_card(card, "train")
        except InputError as error:
            faults += error.faults
    if faults:
        raise ConfigError(*faults)
    stores = {
        name: _stored(card, cap_of(mixture, card.card), places.folder / name, watch)
        for name, card in opened.items()
    }
    parts = [_part(card, stores[card.name], pool) for card in chosen if len(stores[card.name])]
    if not parts:
        raise DataError(f"mixture {mixture.name}: no card has a usable row. {_first(stores)}")
    try:
        weighed = shares(parts, mixture.rule)
    except ValueError as error:
        raise ConfigError(f"mixture {mixture.name}: rule: {error}") from None
    return OpenedMixture(
        mixture, seed, tuple(parts), weighed, left_out, stores, pool, held_out=held_out
    )


def cap_of(mixture: Mixture, card: Card) -> int:
    """Of the first of the card's collections that has one of its own."""
    caps = mixture.cap.by_collection
    return next((caps[name] for name in card.collections if name in caps), mixture.cap.examples)


def _chosen(
    mixture: Mixture, cards: Mapping[str, Card], paths: Mapping[str, str]
) -> tuple[list[Card], dict[str, str]]:
    """The cards to draw from, and why the others that were named are not."""
    named_cards = {name: f"mixture {mixture.name}" for name in (*mixture.cards, *mixture.leave_out)}
    wanted = {name: "data.card_paths" for name in paths} | named_cards
    if unknown := sorted(wanted.keys() - cards.keys()):
        raise ConfigError(*(_unknown(wanted[name], name, cards) for name in unknown))
    found = [
        card.model_copy(update={"path": paths.get(card.name, card.path)})
        for card in cards.values()
        if card.name in mixture.cards or {*card.collections} & {*mixture.collections}
    ]
    left_out: dict[str, str] = {}
    for card in found:
        if card.name in mixture.leave_out:
            left_out[card.name] = "the mixture leaves it out"
        elif not card.splits.train:
            left_out[card.name] = "it has no training rows"
        elif why := may_train(card, mixture.hold_out, cards.values()):
            left_out[card.name] = why
    kept = [card for card in found if card.name not in left_out]
    if not kept:
        raise ConfigError(f"mixture {mixture.name}: no card is left to train on")
    return kept, left_out


def _unknown(where: str, name: str, cards: Mapping[str, Card]) -> str:
    near = get_close_matches(name, cards, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {len(cards)} cards"
    return f"{where}: there is no card {name!r}; {hint}"


def _pool(mixture: Mixture, folder: Path, cards: list[Card], faults: list[str]) -> TemplatePool:
    """Each card's templates that the mixture uses; each speaks of its card's fields only."""
    try:
        pool = load_pool(folder, [card.name for card in cards])
    except InputError as error:
        faults += error.faults
        return TemplatePool({})
    by_task = {}
    for card in cards:
        every = pool.of(card.name)
        found = [t for t in every if mixture.turned_around or not t.turned_around]
        by_task[card.name] = used = tuple(found[: mixture.templates_per_task or None])
        faults += _template_faults(mixture, card, used)
    return TemplatePool(by_task)


def _template_faults(mixture: Mixture, card: Card, templates: tuple[Template, ...]) -> list[str]:
    start = f"mixture {mixture.name}: card {card.name}"
    if not templates:
        return [f"{start} has no template left: all of its templates turn the task around"]
    faults = []
    if mixture.templates not in RULES:
        try:
            named(templates, mixture.templates)
        except FormatError as error:
            faults += [f"{start}: templates: {fault}" for fault in error.faults]
    for template in templates:
        faults += check_fields(template, card.fields, choices=bool(card.choices))
    return faults


def _part(card: Card, store: ExampleStore, pool: TemplatePool) -> Part:
    groups = (*card.collections, card.cluster)
    return Part(card.name, len(store), len(pool.of(card.name)), groups)


def _first(stores: Mapping[str, ExampleStore]) -> str:
    """The first row that was dropped, to show what is wrong."""
    for store in stores.values():
        for row in dropped_rows(store.folder):
            return f"The first: {row.source}: {row.where} {row.reason}: {row.detail}"
    return "None has any row at all."


def _stored(card: OpenedCard, cap: int, folder: Path, watch: Watch) -> ExampleStore:
    key = _key(card, cap)
    if has_examples(folder, key):
        return open_examples(folder)
    rows = capped(iter(card), cap, spread=card.part.step > 0)
    return write_examples(folder, watch(rows), key)


def _key(card: OpenedCard, cap: int) -> str:
    """Of the card and, where it is local, its files."""
    files = [stream.fingerprint() for stream in card.streams] if is_local(card.card) else []
    what = [__version__, card.card.model_dump(mode="json"), card.split, cap, files]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
