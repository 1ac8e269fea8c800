"""The data of a training run, ready to be fed: windows of samples, dev and test sets, counts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from accelerate import Accelerator

from mmtune.config.recipe import Recipe
from mmtune.data.accounting import check_bad_rows, write_ledger
from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.schedule import Schedule
from mmtune.encoding.store import TokenStore, write_store
from mmtune.templates.phrasing import as_conversation
from mmtune.types import Conversation, Example, Text, Turn
from mmtune.workflows.dataset import (
    Accounts,
    Opened,
    content_hash,
    dev_rows,
    encoded,
    good_rows,
    open_data,
    prompt_of,
    settle,
    training_rows,
    training_store,
)
from mmtune.workflows.steps import Feed, Windows
from mmtune.workflows.terminal import encoding_bar

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Material:
    """What a run is fed with."""

    opened: Opened
    accounts: Accounts
    windows: Windows
    store: TokenStore | None
    """The whole training set; None when streaming"""
    dev: list[Example]
    dev_store: TokenStore | None
    test: list[Example]
    sample_prompts: list[Conversation]
    data_hash: str

    def schedule(self, feed: Feed) -> Schedule | None:
        """Of the whole set; None when streaming, where nobody knows."""
        return feed.schedule(self.store) if self.store is not None else None


def gather(
    recipe: Recipe, folder: Path, fmt: ChatFormat, accelerator: Accelerator, tell: Tell
) -> Material:
    """Read and encode all that the run needs; the first rank encodes, the others open its store."""
    opened = open_data(recipe)
    for line in opened.described():
        tell(line)
    here, main = folder / "encoded", accelerator.is_main_process
    if recipe.data.streaming:
        store, accounts = None, Accounts()
        ledger = folder / "ledger.jsonl" if main else None
        windows = _streamed(
            recipe, opened, fmt, here / f"window-{accelerator.process_index}", ledger
        )
        data_hash = "streamed"
    else:
        with accelerator.main_process_first():
            store, accounts = training_store(recipe, opened, fmt, here / "train", encoding_bar)
        windows, data_hash = _one_window(store), content_hash(store)
    aside = Accounts()
    dev = dev_rows(opened, recipe, aside)
    dev_store = _dev_store(recipe, dev, fmt, here / f"dev-{accelerator.process_index}", aside)
    test = good_rows(opened.test, aside)
    for counts in accounts.counts.values():
        tell(counts.described())
    for counts in aside.counts.values():
        tell(f"held out: {counts.described()}")
    if store is not None:
        tell(_described(store))
    settle(aside, recipe, folder / "ledger_held_out.jsonl" if main else None)
    prompts = _sample_prompts(recipe, dev)
    return Material(opened, accounts, windows, store, dev, dev_store, test, prompts, data_hash)


def _one_window(store: TokenStore) -> Windows:
    def windows(_epoch: int, start: int) -> Iterator[TokenStore]:
        return iter([store][start:])

    return windows


def _streamed(
    recipe: Recipe, opened: Opened, fmt: ChatFormat, folder: Path, ledger: Path | None
) -> Windows:
    """Windows encoded as they are needed; one lies on disk at a time. Rows left out are written to
    the ledger in the first epoch, and a window that loses too many of them stops the run."""
    size = recipe.data.window_rows

    def windows(epoch: int, start: int) -> Iterator[TokenStore]:
        accounts = Accounts()
        rows = training_rows(opened, recipe, accounts)
        next(islice(rows, start * size, start * size), None)  # skip what came before
        accounts.dropped.clear()
        while first := next(rows, None):
            chunk = _chain_first(first, islice(rows, size - 1))
            store = write_store(folder, encoded(chunk, fmt, recipe.data, accounts))
            check_bad_rows(accounts.counts.values(), recipe.data.max_bad_rows_fraction)
            if epoch == 0 and ledger is not None:
                write_ledger(ledger, accounts.dropped)
            accounts.dropped.clear()
            yield store

    return windows


def _chain_first(first: Example, rest: Iterator[Example]) -> Iterator[Example]:
    yield first
    yield from rest


def _dev_store(
    recipe: Recipe, dev: list[Example], fmt: ChatFormat, folder: Path, accounts: Accounts
) -> TokenStore | None:
    """The dev set encoded; every rank makes its own, for it is small."""
    return write_store(folder, encoded(dev, fmt, recipe.data, accounts)) if dev else None


def _sample_prompts(recipe: Recipe, dev: list[Example]) -> list[Conversation]:
    written = [
        Conversation(f"sample/{number}", (Turn("user", (Text(prompt),)),))
        for number, prompt in enumerate(recipe.samples.prompts)
    ]
    from_dev = (prompt_of(as_conversation(example)) for example in dev)
    return written + list(islice(filter(None, from_dev), recipe.samples.count))


def _described(store: TokenStore) -> str:
    lengths = store.lengths
    learnt = store.num_targets.sum() / max(1, lengths.sum())
    return (
        f"{len(store):,} samples, {lengths.sum():,} tokens ({lengths.mean():.0f} each, longest "
        f"{lengths.max()}), {learnt:.0%} of them learnt"
    )
