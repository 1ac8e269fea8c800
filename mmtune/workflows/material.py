"""The data of a training run, ready to be fed: windows of samples, dev and test sets, counts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from accelerate import Accelerator
from tqdm import tqdm

from mmtune.config.recipe import Recipe
from mmtune.data.accounting import write_ledger
from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.samples import TokenSample
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
    here = folder / "encoded"
    aside = Accounts()
    dev = dev_rows(opened, recipe, aside)
    test = good_rows(opened.test, aside)
    if recipe.data.streaming:
        store, accounts = None, Accounts()
        windows = _streamed(recipe, opened, fmt, here / f"window-{accelerator.process_index}")
        data_hash = "streamed"
    else:
        with accelerator.main_process_first():
            watch = _bar("encoding", accelerator.is_main_process)
            store, accounts = training_store(recipe, opened, fmt, here / "train", watch)
        windows, data_hash = _one_window(store), content_hash(store)
    for counts in [*accounts.counts.values(), *aside.counts.values()]:
        tell(counts.described())
    if store is not None:
        tell(_described(store))
    dev_store = _dev_store(recipe, dev, fmt, here, accelerator)
    prompts = _sample_prompts(recipe, dev)
    return Material(opened, accounts, windows, store, dev, dev_store, test, prompts, data_hash)


def _one_window(store: TokenStore) -> Windows:
    def windows(_epoch: int, start: int) -> Iterator[TokenStore]:
        return iter([store][start:])

    return windows


def _streamed(recipe: Recipe, opened: Opened, fmt: ChatFormat, folder: Path) -> Windows:
    """Windows encoded as they are needed; one lies on disk at a time."""
    size = recipe.data.window_rows

    def windows(epoch: int, start: int) -> Iterator[TokenStore]:
        accounts = Accounts()
        rows = training_rows(opened, recipe, accounts)
        next(islice(rows, start * size, start * size), None)  # skip what came before
        while first := next(rows, None):
            chunk = _chain_first(first, islice(rows, size - 1))
            yield write_store(folder, encoded(chunk, fmt, recipe.data, accounts))
            if epoch == 0:
                write_ledger(folder.parent / f"ledger-{folder.name}.jsonl", accounts.dropped)
            accounts.dropped.clear()

    return windows


def _chain_first(first: Example, rest: Iterator[Example]) -> Iterator[Example]:
    yield first
    yield from rest


def _dev_store(
    recipe: Recipe, dev: list[Example], fmt: ChatFormat, here: Path, accelerator: Accelerator
) -> TokenStore | None:
    """The dev set encoded; every rank makes its own, for it is small."""
    if not dev:
        return None
    accounts = Accounts()
    for example in dev:
        accounts.add(example)
    folder = here / f"dev-{accelerator.process_index}"
    store = write_store(folder, encoded(dev, fmt, recipe.data, accounts))
    settle(accounts, recipe, here / f"dev-{accelerator.process_index}-ledger.jsonl")
    return store


def _sample_prompts(recipe: Recipe, dev: list[Example]) -> list[Conversation]:
    written = [
        Conversation(f"sample/{number}", (Turn("user", (Text(prompt),)),))
        for number, prompt in enumerate(recipe.samples.prompts)
    ]
    from_dev = (prompt_of(as_conversation(example)) for example in dev)
    return written + list(islice(filter(None, from_dev), recipe.samples.count))


def _bar(
    what: str, shown: bool
) -> Callable[[Iterator[list[TokenSample]]], Iterator[list[TokenSample]]]:
    """Passes batches on while a bar counts their rows."""

    def watch(batches: Iterator[list[TokenSample]]) -> Iterator[list[TokenSample]]:
        with tqdm(desc=what, unit="row", disable=not shown, delay=2) as bar:
            for batch in batches:
                bar.update(len(batch))
                yield batch

    return watch


def _described(store: TokenStore) -> str:
    lengths = store.lengths
    learnt = store.num_targets.sum() / max(1, lengths.sum())
    return (
        f"{len(store):,} samples, {lengths.sum():,} tokens ({lengths.mean():.0f} each, longest "
        f"{lengths.max()}), {learnt:.0%} of them learnt"
    )
