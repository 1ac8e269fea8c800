"""The documents of a batch read back into text, each token known to be learnt or not.

Reads what is learnt off the batch's labels, which are what the loss reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from rich.text import Text

from mmtune.encoding.batches import IGNORE, TokenBatch
from mmtune.encoding.pairs import PairBatch
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

_MOST_STRETCHES = 8
"""Shown of a long dialogue at its beginning, and at its end."""


def documents(batch: TokenBatch | PairBatch) -> Iterator[Document]:
    """The documents in order, padding left off; of pairs, the target after its prompt."""
    if isinstance(batch, PairBatch):
        yield from _pairs(batch)
        return
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


def _pairs(batch: PairBatch) -> Iterator[Document]:
    """Read off what encoder and loss read: the rows of inputs, and the labels."""
    inputs, prompts = batch.inputs.cpu().numpy(), batch.input_documents.cpu().numpy()
    labels, answers = batch.labels.cpu().numpy(), batch.documents.cpu().numpy()
    for number, (name, source) in enumerate(zip(batch.example_ids, batch.sources, strict=True)):
        prompt, answer = inputs[prompts == number], labels[answers == number]
        learnt = np.concatenate([np.zeros(len(prompt), np.bool_), answer != IGNORE])
        yield Document(name, source, np.concatenate([prompt, answer]), learnt)


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


def marked(
    document: Document,
    tokenizer: Any,
    stop_ids: Sequence[int],
    marks: Marks,
    *,
    most_chars: int = 0,
) -> Text:
    """The document to be printed, a line's end after each turn. Brackets: `Hi⟦Hello<|eot|>⟧`.

    With `most_chars`, a stretch that is longer loses its middle, and a long dialogue its middle
    turns, each gap with its size; what is learnt of the rest stays marked.
    """
    text = Text()
    opened = False
    for stretch in _shortened(stretches(document, tokenizer, stop_ids), most_chars):
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


def _shortened(whole: list[Stretch], most_chars: int) -> list[Stretch]:
    if not most_chars:
        return whole
    cut = [replace(one, text=_without_middle(one.text, most_chars)) for one in whole]
    if len(cut) <= 2 * _MOST_STRETCHES:
        return cut
    gap = whole[_MOST_STRETCHES:-_MOST_STRETCHES]
    chars, learnt = sum(len(one.text) for one in gap), sum(len(s.text) for s in gap if s.learnt)
    words = f"[… {chars:,} characters of the turns between, {learnt:,} of them learnt …]"
    between = Stretch(words, learnt=False, control=True, ends_turn=True)
    return [*cut[:_MOST_STRETCHES], between, *cut[-_MOST_STRETCHES:]]


def _without_middle(text: str, most_chars: int) -> str:
    """`abcdefghi` -> `abcd[… 3 characters …]hi`"""
    if len(text) <= most_chars:
        return text
    tail = most_chars // 3
    head = most_chars - tail
    return f"{text[:head]}[… {len(text) - most_chars:,} characters …]{text[-tail:]}"
