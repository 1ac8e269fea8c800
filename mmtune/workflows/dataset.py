"""Rows to samples: what check, preview and train all do first, with every row accounted for."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mmtune.config.recipe import Data, Recipe
from mmtune.data.accounting import RowCounts, check_bad_rows, write_ledger
from mmtune.data.mixture import is_held_out
from mmtune.data.sources import OpenedSource, examples, open_sources
from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.conversations import encode_many
from mmtune.encoding.samples import TokenSample, fit
from mmtune.encoding.store import TokenStore, is_complete, open_store, write_store
from mmtune.templates.phrasing import as_conversation
from mmtune.types import Conversation, Dropped, Example

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

    def described(self) -> list[str]:
        """One line per source: its files, its layout and why."""
        return [source.described() for source in (*self.train, *self.dev, *self.test)]


@dataclass(slots=True)
class Accounts:
    """What became of every row: counts by source, and the lines of the ledger."""

    counts: dict[str, RowCounts] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)

    def add(self, row: Example | Dropped) -> None:
        """A row was read."""
        self.of(row.source).add(row)
        if isinstance(row, Dropped):
            self.dropped.append(row)

    def reject(self, row: Dropped) -> None:
        """A row that was read well cannot be encoded."""
        self.of(row.source).reject(row)
        self.dropped.append(row)

    def of(self, source: str) -> RowCounts:
        return self.counts.setdefault(source, RowCounts(source))


def open_data(recipe: Recipe) -> Opened:
    """Find and recognise every source; raises DataError with all faults at once."""
    data = recipe.data
    groups = [data.training_sources, data.dev, recipe.test.sources]
    flat = open_sources(
        [source for group in groups for source in group], max_field_chars=data.max_field_chars
    )
    rest = iter(flat)
    return Opened(*(list(islice(rest, len(group))) for group in groups))


def training_rows(opened: Opened, recipe: Recipe, accounts: Accounts) -> Iterator[Example]:
    """The rows to train on: all but the bad ones and those that `dev_fraction` holds out."""
    for source in opened.train:
        for row in examples(source):
            if isinstance(row, Dropped) or not _held_out(row, recipe):
                accounts.add(row)
            if isinstance(row, Example) and not _held_out(row, recipe):
                yield row


def dev_rows(opened: Opened, recipe: Recipe, accounts: Accounts) -> list[Example]:
    """The held-out rows; few enough to hold. Bad rows of a training source count there alone."""
    drawn = []
    for source in opened.train if recipe.data.dev_fraction else ():
        for row in examples(source):
            if isinstance(row, Example) and _held_out(row, recipe):
                accounts.add(row)
                drawn.append(row)
    return [*drawn, *good_rows(opened.dev, accounts)]


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
        kept = []
        for example, sample in zip(batch, encode_many(conversations, fmt), strict=True):
            fitted = _fitted(sample, example, fmt, data)
            if isinstance(fitted, Dropped):
                accounts.reject(fitted)
            else:
                kept.append(fitted)
        yield kept


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
    rows = training_rows(opened, recipe, accounts)
    store = write_store(folder, watch(encoded(rows, fmt, recipe.data, accounts)))
    settle(accounts, recipe, folder.parents[1] / "ledger.jsonl")
    marker.write_text(json.dumps({"key": key, "counts": _counts_as_json(accounts)}))
    return store, accounts


def settle(accounts: Accounts, recipe: Recipe, ledger: Path | None) -> None:
    """Write the ledger anew, then raise DataError for sources that lost too many rows."""
    if ledger is not None:
        ledger.unlink(missing_ok=True)
        write_ledger(ledger, accounts.dropped)
    check_bad_rows(accounts.counts.values(), recipe.data.max_bad_rows_fraction)


def prompt_of(conversation: Conversation) -> Conversation | None:
    """The turns before the last answer, to be answered; None where nothing was asked."""
    turns = conversation.turns
    last = max((n for n, turn in enumerate(turns) if turn.role == "assistant"), default=0)
    if not last:
        return None
    return Conversation(conversation.example_id, turns[:last], conversation.source)


def content_hash(store: TokenStore) -> str:
    """Of what is trained on: token ids, what is learnt, where samples end."""
    digest = hashlib.sha256()
    for array in (store.offsets, store.ids, store.supervised):
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def hashes_by_source(store: TokenStore) -> dict[str, str]:
    """sha256 of the tokens of each source's samples, in order, with what is learnt of them."""
    digests = {name: hashlib.sha256() for name in store.sources}
    for number in range(len(store)):
        sample = store.sample(number)
        digests[sample.source].update(sample.ids.tobytes() + sample.supervised.tobytes())
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _held_out(row: Example, recipe: Recipe) -> bool:
    fraction = recipe.data.dev_fraction
    return fraction > 0 and is_held_out(row.id, fraction=fraction, seed=recipe.train.seed)


def _fitted(
    sample: TokenSample | Dropped, example: Example, fmt: ChatFormat, data: Data
) -> TokenSample | Dropped:
    if isinstance(sample, Dropped):
        return Dropped(example.source, example.where, sample.reason, sample.detail)
    stop = None if example.turns and example.turns[0].role == "document" else fmt.stop_id
    fitted = fit(sample, data.max_tokens, data.overlong, stop_id=stop)
    if isinstance(fitted, str):
        detail = f"{len(sample.ids)} tokens, data.max_tokens is {data.max_tokens}"
        return Dropped(example.source, example.where, fitted, detail)
    return fitted


def _store_key(recipe: Recipe, opened: Opened, fmt: ChatFormat) -> str:
    """Changes with anything that could change a sample: settings, files, tokenizer, template."""
    what: list[Any] = [
        recipe.data.model_dump(mode="json"),
        recipe.train.seed if recipe.data.dev_fraction else 0,
        [stream.fingerprint() for source in opened.train for stream in source.streams],
        fmt.tokenizer.backend_tokenizer.to_str(),
        fmt.tokenizer.chat_template,
    ]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _counts_as_json(accounts: Accounts) -> dict[str, Any]:
    return {
        name: {"kept": c.kept, "by_reason": dict(c.by_reason), "unanswered": c.unanswered}
        for name, c in accounts.counts.items()
    }


def _read_accounts(marker: Path, key: str) -> Accounts | None:
    """The accounts of a store that was made from the very same input."""
    if not marker.exists():
        return None
    saved = json.loads(marker.read_text())
    if saved["key"] != key:
        return None
    accounts = Accounts()
    for name, count in saved["counts"].items():
        counts = accounts.of(name)
        counts.kept, counts.unanswered = count["kept"], count["unanswered"]
        counts.by_reason.update(count["by_reason"])
    return accounts
