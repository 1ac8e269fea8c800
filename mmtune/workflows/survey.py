"""Every row of a recipe read and encoded once, nothing kept but lengths and counts."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from mmtune.config.recipe import Recipe
from mmtune.data.accounting import check_bad_rows
from mmtune.encoding.batches import num_targets
from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.samples import TokenSample
from mmtune.encoding.served import check_served
from mmtune.templates.phrasing import as_conversation
from mmtune.types import Conversation, Example
from mmtune.workflows.dataset import (
    Accounts,
    Opened,
    Watch,
    dev_rows,
    encoded,
    good_rows,
    prompt_of,
    training_rows,
)

_SERVED_PER_SOURCE = 200
"""Conversations compared with what plain transformers would serve."""


@dataclass(slots=True)
class Tally:
    """What one source gives to train on."""

    samples: int = 0
    tokens: int = 0
    targets: int = 0
    longest: int = 0

    def add(self, sample: TokenSample) -> None:
        self.samples += 1
        self.tokens += len(sample.ids)
        self.targets += num_targets(sample)
        self.longest = max(self.longest, len(sample.ids))


@dataclass(slots=True)
class Survey:
    """What the rows of a recipe come to. `lengths` are in the order of training's own store."""

    accounts: Accounts = field(default_factory=Accounts)
    aside: Accounts = field(default_factory=Accounts)
    """Of dev and test rows"""
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """int64 [samples], tokens of each"""
    tallies: dict[str, Tally] = field(default_factory=dict)
    dev: dict[str, Tally] = field(default_factory=dict)
    test_prompts: int = 0
    to_compare: list[Conversation] = field(default_factory=list)
    first: dict[str, TokenSample] = field(default_factory=dict)
    """The first sample of each source"""
    extremes: dict[str, TokenSample] = field(default_factory=dict)
    """The `longest` sample of all and the `shortest`"""

    @property
    def tokens(self) -> int:
        return int(self.lengths.sum())

    @property
    def targets(self) -> int:
        return sum(tally.targets for tally in self.tallies.values())


def survey(recipe: Recipe, opened: Opened, fmt: ChatFormat, watch: Watch) -> Survey:
    """Read and encode the training rows (the first window of them when streaming), and the dev and
    test rows, as training would.

    Raises DataError where a row is too long and data.overlong is `error`.
    """
    made = Survey()
    if not recipe.data.streaming:
        for source in opened.train:
            made.accounts.of(source.name)  # one without any row is to be told of
    rows = training_rows(opened, recipe, made.accounts)
    if recipe.data.streaming:
        rows = islice(rows, recipe.data.window_rows)
    batches = encoded(_some_kept(rows, made.to_compare), fmt, recipe.data, made.accounts)
    lengths = array("q")
    for batch in watch(batches):
        _tally(made.tallies, batch)
        _remember(made, batch)
        lengths.extend(len(sample.ids) for sample in batch)
    made.lengths = np.asarray(lengths, dtype=np.int64)
    dev = dev_rows(opened, recipe, made.aside)
    for batch in encoded(dev, fmt, recipe.data, made.aside):
        _tally(made.dev, batch)
    tests = good_rows(opened.test, made.aside)
    made.test_prompts = sum(prompt_of(as_conversation(example)) is not None for example in tests)
    return made


def refusals(recipe: Recipe, made: Survey, fmt: ChatFormat) -> list[Callable[[], object]]:
    """The checks of training that may refuse these rows; each raises an InputError or not."""
    fraction = recipe.data.max_bad_rows_fraction
    return [
        lambda: check_bad_rows(made.accounts.counts.values(), fraction),
        lambda: check_bad_rows(made.aside.counts.values(), fraction),
        lambda: check_served(fmt, made.to_compare),
    ]


def _tally(tallies: dict[str, Tally], batch: list[TokenSample]) -> None:
    for sample in batch:
        tallies.setdefault(sample.source, Tally()).add(sample)


def _remember(made: Survey, batch: list[TokenSample]) -> None:
    """Keep what is worth a look."""
    for sample in batch:
        made.first.setdefault(sample.source, sample)
    for name, choose in (("longest", max), ("shortest", min)):
        held = [made.extremes[name]] if name in made.extremes else []
        if held or batch:
            made.extremes[name] = choose([*held, *batch], key=lambda sample: len(sample.ids))


def worth_a_look(made: Survey, count: int = 3) -> list[tuple[str, TokenSample]]:
    """(why, sample) of the first sample of each source, then of the longest and the shortest."""
    found: dict[str, tuple[str, TokenSample]] = {}
    for sample in made.first.values():
        found[sample.example_id] = ("first", sample)
    for name, sample in made.extremes.items():
        found.setdefault(sample.example_id, (name, sample))
    return list(found.values())[:count]


def _some_kept(rows: Iterable[Example], kept: list[Conversation]) -> Iterator[Example]:
    """The same rows; the first of each source are remembered for a closer look."""
    counts: Counter[str] = Counter()
    for example in rows:
        counts[example.source] += 1
        if counts[example.source] <= _SERVED_PER_SOURCE:
            kept.append(as_conversation(example))
        yield example
