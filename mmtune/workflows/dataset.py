"""Rows to samples: what check, preview and train all do first, with every row accounted for."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mmtune import __version__
from mmtune.config.mixtures import load_mixture
from mmtune.config.recipe import Data, Recipe
from mmtune.data.accounting import Note, RowCounts, check_bad_rows, ledger, nowhere
from mmtune.data.mixture import is_held_out
from mmtune.data.sources import OpenedSource, examples, open_sources
from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.conversations import encode_many
from mmtune.encoding.samples import TokenSample, fit
from mmtune.encoding.store import TokenStore, is_complete, open_store, write_store
from mmtune.templates.phrasing import as_conversation
from mmtune.training.tracking import write_json
from mmtune.types import Conversation, Dropped, Example
from mmtune.workflows.mixture import OpenedMixture
from mmtune.workflows.reading_cards import Places, open_mixture
from mmtune.workflows.terminal import row_bar

_BATCH = 512
"""Rows tokenised at a time."""

Watch = Callable[[Iterator[list[TokenSample]]], Iterable[list[TokenSample]]]
"""Passes batches on and shows progress."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The sources of a recipe, found and recognised."""

    train: list[OpenedSource]
    dev: list[OpenedSource]
    test: list[OpenedSource]
    mixture: OpenedMixture | None = None
    """What is drawn from in place of `train`"""

    def described(self) -> list[str]:
        """One line per source: its files, its layout and why; a mixture's parts likewise."""
        lines = self.mixture.described() if self.mixture else []
        return lines + [s.described() for s in (*self.train, *self.dev, *self.test)]


@dataclass(slots=True)
class Accounts:
    """What became of every row: counts by source; `note` is handed each row that is left out."""

    counts: dict[str, RowCounts] = field(default_factory=dict)
    note: Note = nowhere

    def add(self, row: Example | Dropped) -> None:
        """A row was read."""
        self.of(row.source).add(row)
        if isinstance(row, Dropped):
            self.note(row)

    def keep(self, source: str, count: int) -> None:
        """So many rows of a source were read and are of use."""
        self.of(source).kept += count

    def reject(self, row: Dropped) -> None:
        """A row that was read well cannot be encoded."""
        self.of(row.source).reject(row)
        self.note(row)

    def of(self, source: str) -> RowCounts:
        return self.counts.setdefault(source, RowCounts(source))


def open_data(recipe: Recipe, folder: Path) -> Opened:
    """Find and recognise every source; a mixture's cards are read to `folder`.

    Raises DataError or ConfigError with all faults at once.
    """
    data = recipe.data
    groups = [data.training_sources, data.dev, recipe.test.sources]
    flat = open_sources(
        [source for group in groups for source in group], max_field_chars=data.max_field_chars
    )
    rest = iter(flat)
    mixture = _open_mixture(recipe, folder / "examples") if data.mixture else None
    train, dev, test = (list(islice(rest, len(group))) for group in groups)
    return Opened(train, dev, test, mixture)


def _open_mixture(recipe: Recipe, folder: Path) -> OpenedMixture:
    data = recipe.data
    return open_mixture(
        load_mixture(Path(data.mixture)),
        Places(Path(data.cards), Path(data.templates), data.card_paths, folder),
        seed=recipe.train.seed,
        watch=row_bar,
        held_out=data.dev_fraction,
    )


def training_rows(opened: Opened, recipe: Recipe, accounts: Accounts) -> Iterator[Example]:
    """The rows to train on: all but the bad ones and those that `dev_fraction` holds out. Of a
    mixture, one epoch of draws, after an account of its cards' rows."""
    if opened.mixture:
        opened.mixture.account(accounts.add, accounts.keep)
        yield from drawn(opened.mixture.rows(0), recipe, accounts)
    for source in opened.train:
        yield from drawn(examples(source), recipe, accounts)


def drawn(
    rows: Iterable[Example | Dropped], recipe: Recipe, accounts: Accounts
) -> Iterator[Example]:
    """Of the rows, those to train on; all are accounted for."""
    for row in rows:
        if isinstance(row, Dropped):
            accounts.add(row)
        elif not _held_out(row, recipe):
            accounts.add(row)
            yield row


def dev_rows(opened: Opened, recipe: Recipe, accounts: Accounts) -> list[Example]:
    """The held-out rows; few enough to hold. Bad rows of a training source count there alone."""
    held_out = []
    sources: list[Iterable[Example | Dropped]] = [examples(source) for source in opened.train]
    if opened.mixture:
        sources.append(opened.mixture.rows(0, only=lambda row: _held_out(row, recipe)))
    for source in sources if recipe.data.dev_fraction else ():
        for row in source:
            if isinstance(row, Example) and _held_out(row, recipe):
                accounts.add(row)
                held_out.append(row)
    return [*held_out, *good_rows(opened.dev, accounts)]


def good_rows(sources: Iterable[OpenedSource], accounts: Accounts) -> list[Example]:
    """The usable rows of sources that are small; the others go to the accounts."""
    kept = []
    for source in sources:
        for row in examples(source):
            accounts.add(row)
            if isinstance(row, Example):
                kept.append(row)
    return kept


def encoded(
    rows: Iterable[Example], fmt: ChatFormat, data: Data, accounts: Accounts
) -> Iterator[list[TokenSample]]:
    """Samples of the rows, in batches; whatever cannot be encoded goes to the accounts."""
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        conversations = [as_conversation(example) for example in batch]
        fitted = [
            _fitted(sample, example, fmt, data, accounts)
            for example, sample in zip(batch, encode_many(conversations, fmt), strict=True)
        ]
        yield [sample for sample in fitted if sample is not None]


def training_store(
    recipe: Recipe, opened: Opened, fmt: ChatFormat, folder: Path, watch: Watch
) -> tuple[TokenStore, Accounts]:
    """Encode the whole training set to `folder` (two below the run's), or open what an earlier
    start encoded there; rows that are left out go to the run's `ledger.jsonl`.

    Raises:
        DataError: too great a part of a source's rows is unusable, or all of them.
    """
    marker, key = folder / "accounts.json", _store_key(recipe, opened, fmt)
    if is_complete(folder) and (accounts := _read_accounts(marker, key)):
        return open_store(folder), accounts
    marker.unlink(missing_ok=True)
    accounts = Accounts()
    for source in opened.train:
        accounts.of(source.name)
    with ledger(folder.parents[1] / "ledger.jsonl") as accounts.note:
        rows = training_rows(opened, recipe, accounts)
        store = write_store(folder, watch(encoded(rows, fmt, recipe.data, accounts)))
    check_bad_rows(accounts.counts.values(), recipe.data.max_bad_rows_fraction)
    write_json(marker, {"key": key, "counts": _counts_as_json(accounts)})
    return store, accounts


def prompt_of(conversation: Conversation) -> Conversation | None:
    """The turns before the last answer, to be answered; None where nothing was asked."""
    turns = conversation.turns
    last = max((n for n, turn in enumerate(turns) if turn.role == "assistant"), default=0)
    if not last:
        return None
    return Conversation(conversation.example_id, turns[:last], conversation.source)


def hashes_by_source(store: TokenStore) -> dict[str, str]:
    """sha256 of each source's samples in order: their lengths, tokens, and what is learnt."""
    digests = {name: hashlib.sha256() for name in store.sources}
    for number, first, last in _runs(store.source_numbers):
        digest = digests[store.sources[number]]
        digest.update(store.lengths[first:last].data)
        tokens = slice(store.offsets[first], store.offsets[last])
        for array in (store.ids[tokens], store.supervised[tokens]):
            digest.update(array.view(np.uint8).data)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _runs(numbers: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(number, first, last + 1) of each stretch of equal numbers: [3, 3, 0] -> (3, 0, 2) ..."""
    cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for first, last in pairwise(cuts):
        if last > first:
            yield int(numbers[first]), first, last


def _held_out(row: Example, recipe: Recipe) -> bool:
    fraction = recipe.data.dev_fraction
    row_id = row.id.partition("#")[0] if recipe.data.mixture else row.id  # on any visit
    return fraction > 0 and is_held_out(row_id, fraction=fraction, seed=recipe.train.seed)


def _fitted(
    sample: TokenSample | Dropped,
    example: Example,
    fmt: ChatFormat,
    data: Data,
    accounts: Accounts,
) -> TokenSample | None:
    """The sample, its end cut off where it is too long; None where it is left out."""
    if isinstance(sample, Dropped):
        accounts.reject(Dropped(example.source, example.where, sample.reason, sample.detail))
        return None
    stop = None if example.turns and example.turns[0].role == "document" else fmt.stop_id
    fitted = fit(sample, data.max_tokens, data.overlong, stop_id=stop)
    if fitted is sample:
        return sample
    counts = accounts.of(example.source)
    if isinstance(fitted, str):
        detail = f"{len(sample.ids)} tokens, data.max_tokens is {data.max_tokens}"
        accounts.reject(Dropped(example.source, example.where, fitted, detail))
        counts.tokens_lost += len(sample.ids)
        return None
    counts.cut += 1
    counts.tokens_lost += len(sample.ids) - len(fitted.ids)
    return fitted


def _store_key(recipe: Recipe, opened: Opened, fmt: ChatFormat) -> str:
    """Changes with anything that could change a sample: settings, files, tokenizer, template."""
    what: list[Any] = [
        __version__,
        _COUNTED,
        recipe.data.model_dump(mode="json"),
        recipe.train.seed if recipe.data.dev_fraction else 0,
        [stream.fingerprint() for source in opened.train for stream in source.streams],
        opened.mixture.key if opened.mixture else "",
        fmt.tokenizer.backend_tokenizer.to_str(),
        fmt.tokenizer.chat_template,
    ]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


_COUNTED = ("kept", "unanswered", "cut", "tokens_lost")
"""Fields of RowCounts that are plain numbers."""


def _counts_as_json(accounts: Accounts) -> dict[str, Any]:
    return {
        name: {"by_reason": dict(counts.by_reason)} | {n: getattr(counts, n) for n in _COUNTED}
        for name, counts in accounts.counts.items()
    }


def _read_accounts(marker: Path, key: str) -> Accounts | None:
    """The accounts of a store that was made from the very same input."""
    try:
        saved = json.loads(marker.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if saved["key"] != key:
        return None
    accounts = Accounts()
    for name, found in saved["counts"].items():
        counts = accounts.of(name)
        counts.by_reason.update(found["by_reason"])
        for number in _COUNTED:
            setattr(counts, number, found[number])
    return accounts
