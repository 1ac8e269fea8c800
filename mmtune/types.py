"""The words of the house: pure values that every room may use. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "user", "assistant", "document"]


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text inside a turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture by reference; pixels are read only where a family encodes."""

    uri: str
    sha256: str
    width_px: int
    height_px: int


Part = Text | Image


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    `learn` is false for an assistant's turn that the data marks as context only
    (OpenAI's `weight: 0`). A `document` turn is running text, learnt whole.
    """

    role: Role
    parts: tuple[Part, ...]
    learn: bool = True

    @property
    def text(self) -> str:
        """The turn's text with its pictures left out."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What the data says before any phrasing; curation works on these.

    `turns` is filled, and `fields` empty, where a row is a dialogue already.
    `where` says where the row stands (`file.jsonl:17`). A task with a known answer has it in
    `fields["answer"]`; `choices` are the options it is one of, where it has any, and `references`
    all texts that count as right, where there are more than one.
    """

    id: str
    source: str
    task: str
    fields: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    turns: tuple[Turn, ...] = ()
    choices: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What we would say to a model, in no model's own format yet."""

    example_id: str
    turns: tuple[Turn, ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that did not become an Example or a Sample: a line of the run's ledger."""

    source: str
    where: str
    reason: str
    detail: str
