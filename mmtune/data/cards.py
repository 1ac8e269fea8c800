"""A Card opened: every row of a split becomes an Example or is Dropped with its reason.

card rte, {"sentence1": "It rained.", "sentence2": "It was wet.", "label": 0}
->  fields premise, hypothesis, answer="yes"; choices ("yes", "no")
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from itertools import islice
from typing import Any

from mmtune.config.cards import Card, Split
from mmtune.data.card_rows import LoadDataset, Part, card_streams, part_of
from mmtune.data.card_values import LeftOut, TextOf, ValueOf, Values, as_text, as_texts
from mmtune.data.fields import checked_text
from mmtune.data.files import Stream
from mmtune.data.preparations import PREPARATIONS
from mmtune.data.raw import RawRow
from mmtune.data.reasons import BadRow, excerpt
from mmtune.data.row_columns import Row
from mmtune.data.row_ids import row_id
from mmtune.errors import DataError
from mmtune.sandbox import Sandbox
from mmtune.types import Dropped, Example

MAX_FIELD_CHARS = 1_000_000


@dataclass(frozen=True, slots=True)
class Reader:
    """A card's Jinja, compiled: what turns one row into fields, choices and an answer."""

    card: Card
    fields: Mapping[str, TextOf]
    choices: tuple[str, ...] | ValueOf
    label: ValueOf | None
    answer: TextOf | None
    references: ValueOf | None
    keep: ValueOf | None
    prepare: Callable[[Row], list[dict[str, Any]]] | None


@dataclass(frozen=True, slots=True)
class OpenedCard:
    """One split of a card; iterating reads it from the start, each time in the same order."""

    card: Card
    split: Split
    reader: Reader
    part: Part
    streams: tuple[Stream, ...]
    max_rows: int = 0
    max_field_chars: int = MAX_FIELD_CHARS

    @property
    def name(self) -> str:
        """What its rows' ids begin with, and accounts call it: `rte/train`."""
        return f"{self.card.name}/{self.split}"

    def __iter__(self) -> Iterator[Example | Dropped]:
        return card_examples(self)


@dataclass(frozen=True, slots=True)
class _Row:
    """A raw row on its way: what it is called, where it stands."""

    id: str
    where: str
    values: Values


def open_card(
    card: Card,
    split: Split,
    *,
    max_rows: int = 0,
    max_field_chars: int = MAX_FIELD_CHARS,
    load_dataset: LoadDataset | None = None,
) -> OpenedCard:
    """The rows of a split: iterate for Example | Dropped. `max_rows` counts rows read; 0 is all.

    Raises DataError where the card's Jinja does not compile or there is nothing to read.
    """
    reader = card_reader(card)
    line_bytes = max(1 << 20, 8 * max_field_chars)
    part, found = card_streams(card, split, max_line_bytes=line_bytes, load_dataset=load_dataset)
    return OpenedCard(card, split, reader, part, tuple(found), max_rows, max_field_chars)


def card_reader(card: Card) -> Reader:
    """Compile a card. Raises DataError with all faults: `card rte: keep: is no Jinja: ...`."""
    sandbox = Sandbox()
    faults: list[str] = []

    def tried(make: Callable[[], Any]) -> Any:
        try:
            return make()
        except DataError as error:
            faults.extend(f"card {card.name}: {fault}" for fault in error.faults)

    def value_of(name: str) -> Any:
        source: str = getattr(card, name)
        return tried(lambda: ValueOf(sandbox, source, name)) if source else None

    fields = {
        name: tried(partial(TextOf, sandbox, source, f"fields.{name}"))
        for name, source in card.fields.items()
    }
    reader = Reader(
        card=card,
        fields=fields,
        choices=tuple(card.choices) if isinstance(card.choices, list) else value_of("choices"),
        label=value_of("label"),
        answer=tried(lambda: TextOf(sandbox, card.answer, "answer")) if card.answer else None,
        references=value_of("references"),
        keep=value_of("keep"),
        prepare=tried(lambda: _preparation(card.prepare)) if card.prepare else None,
    )
    if faults:
        raise DataError(*faults)
    return reader


def card_examples(opened: OpenedCard) -> Iterator[Example | Dropped]:
    """Every row of the split in order, as an Example or Dropped.

    An id is `<card>/<split>/<the row's own id>`, or `.../row-<n>` where it has no usable one;
    of a preparation that makes several rows out of one, `.../<id>/1`, `/2` and so on.
    """
    seen: set[int] = set()
    numbered = part_of(opened.part, opened.streams)
    for number, raw in islice(numbered, opened.max_rows or None):
        if isinstance(raw, RawRow):
            name = f"{opened.name}/{row_id(raw.values, number, seen)}"
            yield from _outcomes(opened, _Row(name, raw.where, raw.values))
        else:
            yield Dropped(opened.name, raw.where, raw.reason, raw.detail)


def read_row(reader: Reader, row: Row, *, max_field_chars: int = MAX_FIELD_CHARS) -> list[Example]:
    """The examples of one row, for tests and previews. Raises LeftOut and BadRow."""
    prepared = [row] if reader.prepare is None else reader.prepare(row)
    return [_example(reader, _Row("", "", one), "", max_field_chars) for one in prepared]


def _outcomes(opened: OpenedCard, row: _Row) -> Iterator[Example | Dropped]:
    prepare = opened.reader.prepare
    if prepare is None:
        yield _outcome(opened, row)
        return
    try:
        prepared = prepare(row.values)
    except BadRow as bad:
        yield bad.dropped(opened.name, row.where)
        return
    if not prepared:
        detail = f"{opened.card.prepare} found nothing to ask in it"
        yield Dropped(opened.name, row.where, "nothing_prepared", detail)
    for number, values in enumerate(prepared, 1):
        name = row.id if len(prepared) == 1 else f"{row.id}/{number}"
        yield _outcome(opened, _Row(name, row.where, values))


def _outcome(opened: OpenedCard, row: _Row) -> Example | Dropped:
    try:
        return _example(opened.reader, row, opened.name, opened.max_field_chars)
    except (LeftOut, BadRow) as left:
        return Dropped(opened.name, row.where, left.reason, left.detail)


def _example(reader: Reader, row: _Row, source: str, max_chars: int) -> Example:
    card = reader.card
    values = {name: value for name, value in row.values.items() if value is not None}
    if reader.keep is not None and not reader.keep(values):
        raise LeftOut("not_kept", f"keep: {card.keep}")
    fields = {name: text_of(values, max_chars) for name, text_of in reader.fields.items()}
    for name, text in fields.items():
        if not text and name not in card.optional:
            raise LeftOut("empty_field", f"{name} comes out blank")
    references = _references(reader, values, max_chars)
    choices = _choices(reader, values, max_chars)
    if choices:
        choices, fields["answer"] = _chosen(reader, values, choices)
    else:
        fields["answer"] = _answer(reader, values, references, max_chars)
    return Example(
        id=row.id,
        source=source,
        task=card.name,
        fields=fields,
        choices=choices,
        references=references,
        where=row.where,
    )


def _choices(reader: Reader, values: Values, max_chars: int) -> tuple[str, ...]:
    """As the row has them: blank and doubled ones stay until the label, which may count them."""
    if isinstance(reader.choices, tuple):
        return reader.choices
    found = reader.choices(values)
    if found is None:
        raise LeftOut("missing_field", "choices: the row has none")
    if not isinstance(found, list | tuple) or not found:
        raise LeftOut("wrong_type", f"choices is {excerpt(found)}, not a list of texts")
    return tuple(checked_text(as_text(c, "choices"), "choices", max_chars).strip() for c in found)


def _chosen(
    reader: Reader, values: Values, choices: tuple[str, ...]
) -> tuple[tuple[str, ...], str]:
    """The different choices, and the right one of them."""
    assert reader.label is not None  # a card with choices has one
    right = choices[_position(reader.label(values), choices)]
    different = tuple(dict.fromkeys(choice for choice in choices if choice))
    if not right:
        raise LeftOut("empty_answer", "the right choice is blank")
    if len(different) < 2:
        raise LeftOut("too_few_choices", f"only {excerpt(different[0])}")
    return different, right


def _position(label: Any, choices: tuple[str, ...]) -> int:
    """Of the right choice: by its text, or by its number from 0. Raises LeftOut."""
    if label is None or label == "":
        raise LeftOut("unlabelled", f"label is {excerpt(label)}")
    if isinstance(label, str) and label.strip() in choices:
        return choices.index(label.strip())
    if isinstance(label, str) and not label.strip().lstrip("-").isdecimal():
        raise LeftOut("unknown_label", f"{excerpt(label)} is none of {', '.join(choices[:6])}")
    if not isinstance(label, str | int | float) or label != label or float(label) % 1:
        raise LeftOut("unknown_label", f"{excerpt(label)} is no number of a choice")
    number = int(label)
    if number == -1:
        raise LeftOut("unlabelled", "label is -1")
    if not 0 <= number < len(choices):
        raise LeftOut("label_out_of_range", f"{number} of {len(choices)} choices, counted from 0")
    return number


def _answer(reader: Reader, values: Values, references: tuple[str, ...], max_chars: int) -> str:
    """Of a task without choices."""
    if reader.answer is not None:
        text = reader.answer(values, max_chars)
    else:
        text = references[0] if references else ""
    if not text:
        raise LeftOut("empty_answer", "no answer in the row")
    return text


def _references(reader: Reader, values: Values, max_chars: int) -> tuple[str, ...]:
    if reader.references is None:
        return ()
    found = reader.references(values)
    if found is None and reader.answer is None and not reader.choices:
        raise LeftOut("missing_field", f"no answer: the row has no {reader.card.references}")
    return () if found is None else tuple(as_texts(found, "references", max_chars))


def _preparation(name: str) -> Callable[[Row], list[dict[str, Any]]]:
    if name in PREPARATIONS:
        return PREPARATIONS[name]
    near = get_close_matches(name, PREPARATIONS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(PREPARATIONS)}"
    raise DataError(f"prepare: there is no preparation {name!r}; {hint}")
