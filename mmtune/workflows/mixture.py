"""A mixture opened: cards read once to disk, then drawn from and phrased, from any place on."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mmtune.config.cards import Card, Split, load_cards
from mmtune.config.mixtures import Mixture
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
from mmtune.data.mixing import Drawing, Part, shares
from mmtune.errors import ConfigError, FormatError, InputError
from mmtune.templates.draws import keyed_random
from mmtune.templates.formats import FewShot, few_shot
from mmtune.templates.inversion import chain_of_thought, inversions
from mmtune.templates.pool import TemplatePool, load_pool
from mmtune.templates.template import Template
from mmtune.types import Conversation, Dropped, Example

Watch = Callable[[Iterator[Example | Dropped]], Iterable[Example | Dropped]]
"""Passes rows on, counts them and shows progress."""


@dataclass(frozen=True, slots=True)
class OpenedMixture:
    """A mixture whose examples lie on disk: `rows` is its stream."""

    mixture: Mixture
    seed: int
    parts: tuple[Part, ...]
    shares: Mapping[str, float]
    left_out: Mapping[str, str]
    """Why a card that the mixture names is not drawn from, by card"""
    stores: Mapping[str, ExampleStore]
    pool: TemplatePool
    key: str
    """Changes with anything that could change a row"""

    @property
    def drawing(self) -> Drawing:
        sizes = tuple(part.size for part in self.parts)
        return Drawing(self.seed, sizes, tuple(self.shares[part.name] for part in self.parts))

    @property
    def rows_per_epoch(self) -> int:
        return self.mixture.examples_per_epoch or sum(part.size for part in self.parts)

    def described(self) -> list[str]:
        """A line for each part, the intended share of draws in it; then what is not drawn from."""
        count = self.rows_per_epoch
        lines = [f"mixture {self.mixture.name}: {count:,} draws an epoch"]
        for part in self.parts:
            share = self.shares[part.name]
            lines.append(
                f"  {part.name} ({part.groups[-1]}): {part.size:,} examples, {part.templates} "
                f"templates, {share:.2%} of draws, {share * count / part.size:.2f} passes an epoch"
            )
        return lines + [f"  not {name}: {why}" for name, why in self.left_out.items()]

    def account(self, add: Callable[[Example | Dropped], None]) -> None:
        """Tell of the cards' rows that could not be read; those that could are drawn from."""
        for store in self.stores.values():
            for row in dropped_rows(store.folder):
                add(row)

    def rows(self, epoch: int, start: int = 0, stop: int = 0) -> Iterator[Example | Dropped]:
        """Draws `start` to `stop` (0: the last) of an epoch, each phrased: examples with turns.

        A pure function of (seed, epoch, place): where it starts changes nothing that follows. A
        draw that cannot be phrased is Dropped.
        """
        count = self.rows_per_epoch
        first, last = epoch * count + start, epoch * count + min(stop or count, count)
        for draw in self.drawing.draws(first, last):
            part = self.parts[draw.source]
            example = replace(self.stores[part.name][draw.row], source=part.name)
            yield self._phrased(example, draw.visit, draw.row)

    def _phrased(self, example: Example, visit: int, position: int) -> Example | Dropped:
        try:
            said = self._said(example, visit, position)
        except FormatError as error:
            return Dropped(example.source, example.where, "unphrasable", str(error))
        name = f"{example.id}#{visit}" if visit else example.id
        return replace(example, id=name, fields={}, turns=said.turns)

    def _said(self, example: Example, visit: int, position: int) -> Conversation:
        """The format is drawn first, by (seed, visit, example), then the template."""
        formats, rng = self.mixture.formats, keyed_random(self.seed, visit, "format", example.id)
        way = rng.random()
        if way < formats.inverted and (turned := _inverted(example)):
            return rng.choice(turned).render(example, seed=self.seed)
        template = self.pool.choose(
            example, self.mixture.templates, seed=self.seed, epoch=visit, position=position + visit
        )
        if "rationale" in example.fields and rng.random() < formats.reasoned:
            template = _reasoned(template)
        if way < formats.inverted + formats.few_shot:
            return self._with_exemplars(example, template, visit)
        return template.render(example, self.mixture.options, seed=self.seed + visit)

    def _with_exemplars(self, example: Example, template: Template, visit: int) -> Conversation:
        """Exemplars are of the same data set, in the same template; where none fits, none."""
        formats, seed = self.mixture.formats, self.seed + visit
        rule = FewShot(formats.exemplars, "one_turn", formats.exemplar_chars)

        def phrase(other: Example) -> Conversation:
            return template.render(other, self.mixture.options, seed=seed)

        found = few_shot(
            example,
            self.stores[example.task],
            phrase,
            rule,
            seed=seed,
            count_tokens=len,
        )
        return found or phrase(example)


def open_mixture(
    mixture: Mixture,
    cards_folder: Path,
    templates_folder: Path,
    folder: Path,
    *,
    paths: Mapping[str, str],
    seed: int,
    watch: Watch,
) -> OpenedMixture:
    """Read every card's training rows to `folder` (what an earlier start read there is used), and
    weigh them by the mixture's rule.

    `paths`: local files in place of the hub, by card. `watch` sees each row, bad ones too.

    Raises ConfigError or DataError with all faults at once.
    """
    cards = load_cards(cards_folder)
    named, left_out = _chosen(mixture, cards, paths)
    faults: list[str] = []
    pool = _pool(mixture, templates_folder, named, faults)
    opened = {}
    for card in named:
        try:
            opened[card.name] = open_card(card, "train", max_rows=_cap(mixture, card))
        except InputError as error:
            faults += error.faults
    if faults:
        raise ConfigError(*faults)
    stores = {name: _stored(card, folder / name, watch) for name, card in opened.items()}
    parts = [
        Part(
            card.name,
            len(stores[card.name]),
            len(pool.of(card.name)),
            (*card.collections, card.cluster),
        )
        for card in named
        if len(stores[card.name])
    ]
    try:
        weighed = shares(parts, mixture.rule)
    except ValueError as error:
        raise ConfigError(f"mixture {mixture.name}: rule: {error}") from None
    key = _hash([mixture.model_dump(mode="json"), seed, [_key(c) for c in opened.values()]])
    return OpenedMixture(mixture, seed, tuple(parts), weighed, left_out, stores, pool, key)


def _chosen(
    mixture: Mixture, cards: Mapping[str, Card], paths: Mapping[str, str]
) -> tuple[list[Card], dict[str, str]]:
    """The cards to draw from, and why the others that were named are not."""
    names = {*mixture.cards, *mixture.leave_out, *paths}
    if unknown := sorted(names - cards.keys()):
        raise ConfigError(
            *(f"mixture {mixture.name}: there is no card {name!r}" for name in unknown)
        )
    named = [
        card.model_copy(update={"path": paths.get(card.name, card.path)})
        for card in cards.values()
        if card.name in mixture.cards or {*card.collections} & {*mixture.collections}
    ]
    left_out: dict[str, str] = {}
    for card in named:
        if card.name in mixture.leave_out:
            left_out[card.name] = "the mixture leaves it out"
        elif not card.splits.train:
            left_out[card.name] = "it has no training rows"
        elif why := may_train(card, mixture.hold_out, cards.values()):
            left_out[card.name] = why
    kept = [card for card in named if card.name not in left_out]
    if not kept:
        raise ConfigError(f"mixture {mixture.name}: no card is left to train on")
    return kept, left_out


def _pool(mixture: Mixture, folder: Path, cards: list[Card], faults: list[str]) -> TemplatePool:
    """Each card's templates that the mixture uses."""
    pool = load_pool(folder, [card.name for card in cards])
    by_task = {}
    for card in cards:
        found = [t for t in pool.of(card.name) if mixture.turned_around or not t.turned_around]
        by_task[card.name] = tuple(found[: mixture.templates_per_task or None])
        if not found:
            faults.append(f"mixture {mixture.name}: card {card.name} has no template left")
    return TemplatePool(by_task)


def _cap(mixture: Mixture, card: Card) -> int:
    caps = [
        mixture.cap.by_collection[name]
        for name in card.collections
        if name in mixture.cap.by_collection
    ]
    return caps[0] if caps else mixture.cap.examples


def _stored(card: OpenedCard, folder: Path, watch: Watch) -> ExampleStore:
    key = _key(card)
    if has_examples(folder, key):
        return open_examples(folder)
    return write_examples(folder, watch(iter(card)), key)


def _key(card: OpenedCard) -> str:
    """Of the card and, where it is local, its files."""
    files = [stream.fingerprint() for stream in card.streams] if is_local(card.card) else []
    return _hash([card.card.model_dump(mode="json"), card.split, card.max_rows, files])


def _hash(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _inverted(example: Example) -> list[Template]:
    question = "question" if "question" in example.fields else next(iter(example.fields))
    return inversions(example.task, example.fields, question)


def _reasoned(template: Template) -> Template:
    asks = not template.turned_around and "answer" in template.names
    return chain_of_thought(template) if asks else template


def splits_of(card: Card) -> list[Split]:
    """The splits that a card has."""
    every: tuple[Split, ...] = ("train", "dev", "test")
    return [split for split in every if getattr(card.splits, split)]
