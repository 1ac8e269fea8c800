"""`mmtune preview`: real packs as the loop will eat them, supervised tokens marked."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console

from mmtune.config.recipe import Recipe
from mmtune.encoding.batches import TokenBatch
from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.schedule import Schedule, noise_key
from mmtune.encoding.store import TokenStore, write_store
from mmtune.families.family import Family, Format, family_of
from mmtune.workflows.dataset import (
    Accounts,
    Opened,
    encoded,
    open_data,
    training_rows,
    training_store,
)
from mmtune.workflows.documents import Marks, documents, marked
from mmtune.workflows.mixture_table import show_mixture
from mmtune.workflows.steps import targets_by_source
from mmtune.workflows.terminal import console, encoding_bar, has_colours, visible


def run(recipe: Recipe, rows: int = 4) -> None:
    """Print the first `rows` packs of the first epoch, and then the first one of each source that
    has not been seen in those.

    Raises InputError for whatever training would refuse in the data or the tokenizer.
    """
    kind = family_of(recipe.model)
    with TemporaryDirectory(prefix="mmtune-preview-") as folder:
        opened = open_data(recipe, Path(folder))
        made = kind.load_format(recipe.model, recipe.data.supervise)
        out = console()
        for line in (*opened.described(), *made.notes):
            out.print(visible(line))
        store = _store(recipe, opened, made.chat_format, Path(folder))
        for number, (place, pack) in enumerate(_chosen(recipe, store, rows), 1):
            out.print(f"\npack {number}: {place}", style="bold reverse")
            _show(_batch(recipe, kind, made, store, pack), made, out)
        _show_shares(store, out)
        if opened.mixture:
            show_mixture(opened.mixture, store, out)


def _store(recipe: Recipe, opened: Opened, fmt: ChatFormat, folder: Path) -> TokenStore:
    """The training set encoded anew in `folder`, away from a run that may be under way; the first
    window of it when streaming."""
    if not recipe.data.streaming:
        return training_store(recipe, opened, fmt, folder / "encoded" / "train", encoding_bar)[0]
    accounts = Accounts()
    window = islice(training_rows(opened, recipe, accounts), recipe.data.window_rows)
    return write_store(folder / "train", encoding_bar(encoded(window, fmt, recipe.data, accounts)))


def _chosen(recipe: Recipe, store: TokenStore, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """(step in words, sample numbers) of micro-batches: the first, then the first of each source
    that is not among them."""
    section = recipe.train
    schedule = Schedule(store.lengths, section.batch, section.batching, section.seed)
    missing = set(np.unique(store.source_numbers).tolist())
    for step in schedule.steps(0):
        for number, row in enumerate(step.rows, 1):
            sources = set(store.source_numbers[row].tolist())
            if count > 0 or sources & missing:
                yield f"step {step.index + 1}, micro-batch {number} of {len(step.rows)}", row
            count, missing = count - 1, missing - sources
            if count <= 0 and not missing:
                return


def _batch(
    recipe: Recipe, kind: Family, made: Format, store: TokenStore, numbers: np.ndarray
) -> TokenBatch:
    """Made as the loop makes it."""
    packed = recipe.train.batching.kind == "packed"
    names = [store.example_id(number) for number in numbers.tolist()]
    keys = [noise_key(recipe.train.seed, 0, name) for name in names]
    pad_id = None if packed else made.tokenizer.pad_token_id
    return kind.batch(store, numbers.tolist(), keys, pad_id)  # type: ignore[return-value]


def _show(batch: TokenBatch, made: Format, out: Console) -> None:
    out.print(
        f"{len(batch.document_lengths)} documents, {batch.num_tokens:,} tokens, "
        f"{batch.num_targets:,} learnt, {batch.padding_fraction:.1%} padding"
    )
    marks = Marks.COLOURS if has_colours() else Marks.BRACKETS
    for number, document in enumerate(documents(batch), 1):
        out.print(
            f"── document {number} · {visible(document.source)} · {visible(document.example_id)} · "
            f"{len(document.ids):,} tokens, {int(document.learnt.sum()):,} learnt ──",
            style="dim",
        )
        out.print(marked(document, made.tokenizer, made.chat_format.stop_ids, marks))


def _show_shares(store: TokenStore, out: Console) -> None:
    out.print("\nShare of tokens learnt, all packs", style="bold")
    targets = targets_by_source(store, np.arange(len(store)))
    for number, name in enumerate(store.sources):
        mine = store.source_numbers == number
        tokens = int(store.lengths[mine].sum())
        out.print(
            f"  {visible(name)}: {targets[name] / max(1, tokens):.1%} of {tokens:,} tokens in "
            f"{int(mine.sum()):,} samples"
        )
