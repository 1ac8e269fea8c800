"""The documents of a batch read back into text, each token known to be learnt or not.

Reads what is learnt off the batch's labels, which are what the loss reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from rich.text import Text

from mmtune.encoding.batches import IGNORE, TokenBatch
from mmtune.workflows.terminal import visible


class Marks(Enum):
    """How supervised stretches are told from the others."""

    COLOURS = "colours"
    BRACKETS = "brackets"


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a batch."""

    example_id: str
    source: str
    ids: np.ndarray
    """int64 [tokens]"""
    learnt: np.ndarray
    """bool [tokens]: this token is a target"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring tokens of one kind, as text."""

    text: str
    learnt: bool
    control: bool
    ends_turn: bool


_STYLES = {
    (True, False): Style(color="green"),
    (True, True): Style(color="green", bold=True, reverse=True),
    (False, False): Style(),
    (False, True): Style(color="cyan", dim=True),
}
"""(learnt, control) -> style"""


def documents(batch: TokenBatch) -> Iterator[Document]:
    """The documents in order, padding left off."""
    ids, labels = batch.ids.cpu().numpy(), batch.labels.cpu().numpy()
    packed = len(ids) == 1
    start = 0
    for number, length in enumerate(batch.document_lengths):
        row, begin = (0, start) if packed else (number, 0)
        span = slice(begin, begin + length)
        learnt = np.zeros(length, dtype=np.bool_)
        learnt[1:] = labels[row, span][:-1] != IGNORE
        yield Document(batch.example_ids[number], batch.sources[number], ids[row, span], learnt)
        start += length


def stretches(document: Document, tokenizer: Any, stop_ids: Sequence[int]) -> list[Stretch]:
    """The document cut where tokens begin or cease to be learnt, or to be control tokens, and
    after each of `stop_ids`.

    Each stretch is what decoding up to its end adds to decoding up to its beginning, so that
    decoders which treat the start of a text otherwise do not change it.
    """
    special = [number for number, t in tokenizer.added_tokens_decoder.items() if t.special]
    control = np.isin(document.ids, [*special, *stop_ids])
    stops: NDArray[np.bool_] = np.isin(document.ids, list(stop_ids))
    turns: NDArray[np.int64] = np.concatenate([[0], np.cumsum(stops)[:-1]])
    kinds = zip(document.learnt.tolist(), control.tolist(), turns.tolist(), strict=True)
    found, end, before = [], 0, ""
    for (learnt, is_control, _), group in groupby(kinds):
        end += len(list(group))
        text = tokenizer.decode(
            document.ids[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        found.append(Stretch(text[len(before) :], learnt, is_control, bool(stops[end - 1])))
        before = text
    return found


def marked(document: Document, tokenizer: Any, stop_ids: Sequence[int], marks: Marks) -> Text:
    """The document to be printed, a line's end after each turn. Brackets: `Hi⟦Hello<|eot|>⟧`."""
    text = Text()
    opened = False
    for stretch in stretches(document, tokenizer, stop_ids):
        brackets = marks is Marks.BRACKETS
        if brackets and stretch.learnt != opened:
            text.append("⟦" if stretch.learnt else "⟧")
        opened = stretch.learnt
        text.append(visible(stretch.text), None if brackets else _STYLES[opened, stretch.control])
        if stretch.ends_turn:
            text.append("⟧\n" if brackets and opened else "\n")
            opened = False
    if marks is Marks.BRACKETS and opened:
        text.append("⟧")
    text.rstrip()
    return text
