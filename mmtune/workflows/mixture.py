"""A mixture whose cards have been read: its draws, phrased, from any place on; what it is made of.

Opened by `mmtune.workflows.reading_cards`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

from mmtune.config.mixtures import Mixture
from mmtune.data.example_store import ExampleStore, dropped_rows
from mmtune.data.mixing import Drawing, Part
from mmtune.templates.pool import TemplatePool
from mmtune.types import Dropped, Example
from mmtune.workflows.phrasing_draws import Phrasing

_SHOWN = 12


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
    """By card, those without an example too"""
    pool: TemplatePool
    held_out: float = 0.0
    """The part of examples that data.dev_fraction keeps from training"""

    @property
    def drawing(self) -> Drawing:
        sizes = tuple(part.size for part in self.parts)
        return Drawing(self.seed, sizes, tuple(self.shares[part.name] for part in self.parts))

    @property
    def rows_per_epoch(self) -> int:
        return self.mixture.examples_per_epoch or sum(part.size for part in self.parts)

    @property
    def key(self) -> str:
        """Changes with anything that could change a row."""
        return _hash([self.seed, self.held_out, self.facts()])

    def facts(self) -> dict[str, str]:
        """What the mixture is made of, each thing by its name, for `workflows.fingerprints`.

        {"mixture flan": "1,200 draws an epoch of 3 cards, sha256 ab12...",
         "templates": "30, sha256 cd34...", "card rte": "2,283 examples, sha256 ef56..."}
        """
        law = self.mixture.model_dump(mode="json", exclude={"name"})
        draws = f"{self.rows_per_epoch:,} draws an epoch of {len(self.parts)} cards"
        used = {name: [asdict(t) for t in found] for name, found in self.pool.by_task.items()}
        templates = f"{sum(map(len, used.values())):,}, sha256 {_short(_hash(used))}"
        facts = {
            f"mixture {self.mixture.name}": f"{draws}, sha256 {_short(_hash(law))}",
            "templates": templates,
        }
        for name, store in self.stores.items():
            facts[f"card {name}"] = f"{len(store):,} examples, sha256 {_short(store.sha256)}"
        return facts

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

    def account(self, add: Callable[[Dropped], None], keep: Callable[[str, int], None]) -> None:
        """Tell of the cards' rows: `add` of each that made no example, `keep` of how many did.

        They count under the card's split (`rte/train`); what is drawn counts under the card.
        """
        for name, store in self.stores.items():
            keep(f"{name}/train", len(store))
            for row in dropped_rows(store.folder):
                add(row)

    def rows(
        self,
        epoch: int,
        start: int = 0,
        stop: int = 0,
        *,
        only: Callable[[Example], bool] | None = None,
    ) -> Iterator[Example | Dropped]:
        """Draws `start` to `stop` (0: the last) of an epoch, each phrased: examples with turns.

        A pure function of (seed, epoch, place): where it starts changes nothing that follows. A
        draw that cannot be phrased is Dropped. `only` says, before it is phrased, which are wanted.
        """
        count = self.rows_per_epoch
        first, last = epoch * count + start, epoch * count + min(stop or count, count)
        phrasing = Phrasing(self.mixture, self.seed, self.pool, self.held_out)
        for draw in self.drawing.draws(first, last):
            name = self.parts[draw.source].name
            store = self.stores[name]
            example = store[draw.row]
            if only is None or only(example):
                yield phrasing.phrased(example, store, draw.visit, draw.row)


def _hash(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _short(digest: str) -> str:
    return digest[:_SHOWN]
