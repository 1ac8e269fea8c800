"""A Card: one data set as a task, in `datasets_cfg/cards/<name>.yaml`: where its rows come from,
what its columns mean, which answers there are. Knows no rows and compiles no Jinja."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from mmtune.config.load import load_section
from mmtune.config.section import Section
from mmtune.errors import ConfigError

Cluster = Literal[
    # the twelve of FLAN (Wei et al. 2021, figure 3)
    "nli",
    "commonsense",
    "sentiment",
    "paraphrase",
    "closed_book_qa",
    "struct_to_text",
    "translation",
    "reading_comprehension",
    "reading_comprehension_commonsense",
    "coreference",
    "misc",
    "summarization",
    # questions answered with their reasoning (Chung et al. 2022)
    "cot",
    # of T0 (Sanh et al. 2021), where FLAN has no such cluster
    "multiple_choice_qa",
    "extractive_qa",
    "topic",
    "sentence_completion",
    # of the pocket world (see mmtune/pocket/quizzes.py)
    "pocket_ordering",
    "pocket_comparison",
    "pocket_selection",
    "pocket_scenes",
    "pocket_inference",
    "pocket_knowledge",
    "pocket_arithmetic",
    "pocket_classification",
    # of your own
    "other",
]
FLAN_CLUSTERS: tuple[Cluster, ...] = (
    "nli",
    "commonsense",
    "sentiment",
    "paraphrase",
    "closed_book_qa",
    "struct_to_text",
    "translation",
    "reading_comprehension",
    "reading_comprehension_commonsense",
    "coreference",
    "misc",
    "summarization",
)
Subcluster = Literal[
    "",
    "math",
    "conversational_qa",
    "word_disambiguation",
    "linguistic_acceptability",
    "question_classification",
    "text_formatting",
]
Collection = Literal["flan", "cot", "t0_train", "t0p_train", "t0pp_train", "t0_held_out"]
Split = Literal["train", "dev", "test"]
Metric = Literal["accuracy", "f1", "exact_match", "rouge", "bleu", "edit_distance", "pearson"]

RESERVED = ("answer", "choices", "options", "row")
"""What templates and expressions call by these names is made, not read from a column."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
_FIELD = re.compile(r"[a-z_][a-z0-9_]*")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class Hub(Section):
    """A data set of the hub that serves Parquet: `datasets` runs no loading scripts any more."""

    path: str = ""
    """`owner/name`; bare names are refused by today's hub client."""
    config: str = ""
    """Its configuration (subset), where it has several."""
    revision: str = ""
    """A commit or branch; `refs/convert/parquet` is the hub's own conversion of a script."""


class Splits(Section):
    """The hub's name for each of our splits; empty where there are no rows for it.

    `train[200:]` leaves the first 200 rows out, `train[every 10]` takes each tenth row,
    `train[but every 10]` the others.
    """

    train: str = ""
    dev: str = ""
    test: str = ""


class Card(Section):
    """One data set as a task: rows in, fields, choices and a known answer out.

    `fields`, `choices`, `label`, `answer`, `references` and `keep` are sandboxed Jinja over the
    row's columns; a column that is null counts as absent, and `row["odd name"]` reads any column.
    """

    name: str
    """The file's name, the task of its examples, and what templates are called after."""
    cluster: Cluster
    subcluster: Subcluster = ""
    """The part of `misc`, which the paper counts as one cluster and the code as six."""
    siblings: str = ""
    """Data sets of one origin have this in common; they never stand on both sides of a hold-out."""
    collections: list[Collection] = []
    hub: Hub = Hub()
    path: str = ""
    """A local file or folder in place of the hub; `{split}` in it becomes the split's name."""
    columns: list[str] = []
    """Names for the columns of a .tsv or .csv that has no line of names."""
    splits: Splits = Splits()
    fields: dict[str, str] = {}
    """What templates may use, each a Jinja text: `premise: "{{ sentence1 }}"`."""
    optional: list[str] = []
    """The fields that may come out blank; a row with another blank field is left out."""
    choices: list[str] | str = []
    """The possible answers, or one Jinja expression that gives their list."""
    label: str = ""
    """Which choice is right: an expression giving its number from 0, or its text."""
    answer: str = ""
    """A Jinja text: the answer of a task without choices; the first reference where empty."""
    references: str = ""
    """An expression giving the list of all texts that count as right."""
    keep: str = ""
    """A condition; rows for which it is false are left out, and counted as `not_kept`."""
    prepare: str = ""
    """A function of `mmtune/data/preparations.py` that turns a row into rows first."""
    metric: Metric = "accuracy"
    licence: str = "unknown"
    languages: list[str] = ["en"]
    note: str = ""

    @field_validator("choices", mode="before")
    @classmethod
    def _numbers_are_text(cls, choices: Any) -> Any:
        """`choices: [1, 2]` means the texts."""
        if not isinstance(choices, list):
            return choices
        return [str(c).lower() if isinstance(c, int | float) else c for c in choices]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if faults := [*_naming_faults(self), *_answer_faults(self), *_origin_faults(self)]:
            raise ValueError("; ".join(faults))
        return self


def load_card(path: Path, overrides: Sequence[str] = ()) -> Card:
    """The card in a file, with overrides such as `path=rows.jsonl` on top.

    Raises ConfigError with every fault at once, each with its file and line.
    """
    card = load_section(path, overrides, Card)
    if card.name != path.stem:
        raise ConfigError(
            f"{path}: name: found {card.name!r}, expected {path.stem!r}, the file's own name"
        )
    return card


def load_cards(folder: Path, overrides: Sequence[str] = ()) -> dict[str, Card]:
    """All cards of a folder by name; overrides begin with a card's name: `rte.path=rows.jsonl`.

    Raises ConfigError with the faults of all of them.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if not files:
        raise ConfigError(f"{folder}: no card (*.yaml) in this folder")
    faults: list[str] = []
    own = _sorted_out(overrides, files, faults)
    cards: dict[str, Card] = {}
    for name, path in files.items():
        try:
            cards[name] = load_card(path, own[name])
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(*faults)
    return cards


def _sorted_out(
    overrides: Sequence[str], names: Sequence[str] | dict[str, Path], faults: list[str]
) -> dict[str, list[str]]:
    """The overrides of each card."""
    own: dict[str, list[str]] = {name: [] for name in names}
    for text in overrides:
        name, dot, rest = text.partition(".")
        if dot and name in own:
            own[name].append(rest)
        else:
            faults.append(
                f"override {text!r}: expected CARD.key=value, such as rte.path=rows.jsonl"
            )
    return own


def _naming_faults(card: Card) -> list[str]:
    faults = []
    if not _NAME.fullmatch(card.name):
        faults.append(f"name {card.name!r}: expected lower-case letters, digits and _")
    if not card.fields:
        faults.append("fields: there is none; a template would have nothing to say")
    for name in card.fields:
        if name in RESERVED:
            faults.append(
                f"fields.{name}: the name is taken ({', '.join(RESERVED)}); choose another"
            )
        elif not _FIELD.fullmatch(name):
            faults.append(f"fields.{name}: expected a name of lower-case letters, digits and _")
    unknown = [name for name in card.optional if name not in card.fields]
    faults += [f"optional: {name!r} is no field" for name in unknown]
    if (card.cluster == "misc") != bool(card.subcluster):
        faults.append("subcluster: cards of cluster misc name their part of it, and no others do")
    return faults


def _answer_faults(card: Card) -> list[str]:
    faults = _choices_faults(card.choices) if isinstance(card.choices, list) else []
    if card.choices:
        if not card.label:
            faults.append("label: missing; with choices it says which of them is right")
        if card.answer:
            faults.append("answer: leave it out; with choices it is the one that label names")
    else:
        if card.label:
            faults.append("label: is of no use without choices")
        if not card.answer and not card.references:
            faults.append("answer: missing; give it, or references, or choices with a label")
    return faults


def _choices_faults(choices: list[str]) -> list[str]:
    faults = []
    if len(choices) == 1:
        faults.append("choices: one alone is no choice")
    if len(set(choices)) != len(choices):
        faults.append("choices: two of them are the same")
    if any(not choice.strip() for choice in choices):
        faults.append("choices: one of them is blank")
    return faults


def _origin_faults(card: Card) -> list[str]:
    faults = []
    if card.hub.path and not _HUB_ID.fullmatch(card.hub.path):
        faults.append(f"hub.path: found {card.hub.path!r}, expected owner/name")
    if not any((card.splits.train, card.splits.dev, card.splits.test)):
        faults.append("splits: name at least one of train, dev and test")
    if not card.hub.path and not card.path and not card.note:
        faults.append("note: a card without hub and path says here where its rows are to be had")
    return faults
