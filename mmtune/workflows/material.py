"""The data of a training run, ready to be fed: windows of samples, dev and test sets, counts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from accelerate import Accelerator

from mmtune.config.recipe import Recipe
from mmtune.data.accounting import check_bad_rows, ledger
from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.schedule import Schedule
from mmtune.encoding.store import TokenStore, write_store
from mmtune.templates.phrasing import as_conversation
from mmtune.types import Conversation, Example, Text, Turn
from mmtune.workflows.dataset import (
    Accounts,
    Opened,
    dev_rows,
    encoded,
    good_rows,
    open_data,
    prompt_of,
    training_store,
)
from mmtune.workflows.fingerprints import fingerprints
from mmtune.workflows.steps import Feed, Windows
from mmtune.workflows.stream import streamed_windows
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
    fingerprints: dict[str, str]
    """What the run is made of, by name: sources, tokenizer, chat template"""

    def schedule(self, feed: Feed) -> Schedule | None:
        """Of the whole set; None when streaming, where nobody knows."""
        return feed.schedule(self.store) if self.store is not None else None


def gather(
    recipe: Recipe, folder: Path, fmt: ChatFormat, accelerator: Accelerator, tell: Tell
) -> Material:
    """Read and encode all that the run needs; the first rank encodes, the others open its store."""
    here, main = folder / "encoded", accelerator.is_main_process
    with accelerator.main_process_first():
        opened = open_data(recipe, here)
    for line in opened.described():
        tell(line)
    if recipe.data.streaming:
        store, accounts = None, Accounts()
        if main and not any(folder.glob("checkpoints/step-*")):
            (folder / "ledger.jsonl").unlink(missing_ok=True)  # of a start that came to nothing
        windows = streamed_windows(recipe, opened, fmt, folder, accelerator)
    else:
        with accelerator.main_process_first():
            store, accounts = training_store(recipe, opened, fmt, here / "train", encoding_bar)
        windows = _one_window(store)
    with accelerator.main_process_first():
        facts = fingerprints(opened, fmt, store, here / "files.json")
    aside = Accounts()
    with ledger(folder / "ledger_held_out.jsonl" if main else None) as aside.note:
        dev = dev_rows(opened, recipe, aside)
        dev_store = _dev_store(recipe, dev, fmt, here / f"dev-{accelerator.process_index}", aside)
        test = good_rows(opened.test, aside)
    for counts in accounts.counts.values():
        tell(counts.described())
    for counts in aside.counts.values():
        tell(f"held out: {counts.described()}")
    if store is not None:
        tell(_described(store))
    check_bad_rows(aside.counts.values(), recipe.data.max_bad_rows_fraction)
    return Material(
        opened,
        accounts,
        windows,
        store,
        dev,
        dev_store,
        test,
        sample_prompts=_sample_prompts(recipe, dev),
        fingerprints=facts,
    )


def _one_window(store: TokenStore) -> Windows:
    def windows(_epoch: int, start: int) -> Iterator[TokenStore]:
        return iter([store][start:])

    return windows


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
