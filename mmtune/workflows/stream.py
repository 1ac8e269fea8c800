"""A training set that is encoded while training, a window of rows at a time; one lies on disk."""

from collections import deque
from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from mmtune.config.recipe import Recipe
from mmtune.data.accounting import check_bad_rows, ledger
from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.store import TokenStore, open_store, write_store
from mmtune.errors import DataError
from mmtune.types import Example
from mmtune.workflows.dataset import Accounts, Opened, drawn, encoded, training_rows
from mmtune.workflows.mixture import OpenedMixture
from mmtune.workflows.steps import Windows
from mmtune.workflows.terminal import encoding_bar


def streamed_windows(
    recipe: Recipe, opened: Opened, fmt: ChatFormat, folder: Path, accelerator: Accelerator
) -> Windows:
    """Windows that the first rank encodes, in `folder`/encoded/window, and all ranks open.

    Every rank must ask for as many windows as any other. In the first epoch, rows that are left
    out go to `folder`/ledger.jsonl, each once, however often a window is made again after a stop.

    The windows raise DataError, on all ranks, when a source has lost too many rows so far.
    """
    here = folder / "encoded" / "window"
    maker = _Maker(recipe, opened, fmt, here, folder / "ledger.jsonl")

    def windows(epoch: int, start: int) -> Iterator[TokenStore]:
        made = maker.windows(epoch, start) if accelerator.is_main_process else None
        while _is_another(made, accelerator):
            yield open_store(here)

    return windows


def _is_another(made: Iterator[None] | None, accelerator: Accelerator) -> bool:
    """Let the first rank make the next window, and tell every rank whether there is one."""
    accelerator.wait_for_everyone()  # nobody is still to open the window before
    told: list[tuple[bool, tuple[str, ...]]] = [(False, ())]
    if made is not None:
        try:
            told = [(next(made, made) is not made, ())]
        except DataError as error:
            told = [(False, tuple(error.faults))]
    broadcast_object_list(told)
    ((there, faults),) = told
    if faults:
        raise DataError(*faults)
    return there


class _Maker:
    """Makes windows in a folder, and knows which of them lies there."""

    def __init__(
        self, recipe: Recipe, opened: Opened, fmt: ChatFormat, folder: Path, ledger_file: Path
    ) -> None:
        self.recipe, self.opened, self.fmt = recipe, opened, fmt
        self.folder, self.ledger_file = folder, ledger_file
        self.there: int | None = None

    def windows(self, epoch: int, start: int) -> Iterator[None]:
        """Yields when the next window lies in the folder."""
        accounts = Accounts()
        made = self._rows(epoch, start, accounts)
        for number in count(start):
            if number == self.there:  # as after a look at the longest batch, or with one window
                deque(next(made, ()), maxlen=0)
                yield
                continue
            # Rows of later epochs are those of the first: they stand in the ledger already.
            with ledger(None if epoch else self.ledger_file, window=number) as accounts.note:
                window = next(made, None)
                if window is not None:
                    self.there = None
                    batches = encoded(window, self.fmt, self.recipe.data, accounts)
                    write_store(self.folder, encoding_bar(batches))
            check_bad_rows(accounts.counts.values(), self.recipe.data.max_bad_rows_fraction)
            if window is None and number == 0:
                raise DataError("there is nothing to train on: no source gave a usable row")
            if window is None:
                return
            self.there = number
            yield

    def _rows(self, epoch: int, start: int, accounts: Accounts) -> Iterator[Iterator[Example]]:
        """The rows of each window from number `start` on; each is to be read to its end."""
        size = self.recipe.data.window_rows
        if mixture := self.opened.mixture:
            lows = range(start * size, mixture.rows_per_epoch, size)
            return (_drawn(mixture, self.recipe, accounts, epoch, low) for low in lows)
        rows = training_rows(self.opened, self.recipe, accounts)
        next(islice(rows, start * size, start * size), None)  # skip what came before
        return _cut(rows, size)


def _drawn(
    mixture: OpenedMixture, recipe: Recipe, accounts: Accounts, epoch: int, low: int
) -> Iterator[Example]:
    """The draws of a window; before the first of all, the account of the cards' rows."""
    if epoch == low == 0:
        mixture.account(accounts.add, accounts.keep)
    yield from drawn(mixture.rows(epoch, low, low + recipe.data.window_rows), recipe, accounts)


def _cut(rows: Iterator[Example], size: int) -> Iterator[Iterator[Example]]:
    while (first := next(rows, None)) is not None:
        yield chain([first], islice(rows, size - 1))
