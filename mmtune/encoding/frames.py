"""A skeleton made ready for the tokenizer: its literals respelled, and the text cut into pieces.

The one cut is where an answer begins, since what is served there ends: tokens that would join the
prompt with the answer cannot occur when the model is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mmtune.encoding.control_tokens import ControlTokens, Piece
from mmtune.encoding.samples import Unencodable
from mmtune.encoding.skeleton import Skeleton


@dataclass(frozen=True, slots=True)
class Literal:
    """Text of the template with its control tokens by alias."""

    text: str
    controls: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One tuple of roles as the template lays it out."""

    bones: Skeleton
    headers: tuple[Literal, ...]
    leads: tuple[Literal, ...]
    contexts: tuple[str, ...]
    """What stands before an answer (see `Piece.before`), for each slot."""
    tail: Literal

    def pieces(self, values: Sequence[str], *, cut: bool) -> list[Piece]:
        """The text as pieces: up to the first answer, from it to the next answer, and so on.

        `values` are in the order of the turns. Without `cut`, all is one piece.
        """
        pieces: list[Piece] = []
        parts, controls, before = list[str](), 0, ""
        for place, slot in enumerate(self.bones.slots):
            parts.append(self.headers[place].text)
            controls += self.headers[place].controls
            if cut and slot.role == "assistant":
                pieces.append(Piece("".join(parts), before, controls))
                parts, controls, before = [], 0, self.contexts[place]
            parts += self.leads[place].text, values[slot.turn]
            controls += self.leads[place].controls
        text = "".join([*parts, self.tail.text])
        return [*pieces, Piece(text, before, controls + self.tail.controls)]

    @property
    def answers(self) -> list[tuple[int, int]]:
        """(turn, number of control tokens between the cut and the answer's stop) of each answer."""
        return [
            (slot.turn, lead.controls)
            for slot, lead in zip(self.bones.slots, self.leads, strict=True)
            if slot.role == "assistant"
        ]


def frame(control: ControlTokens, bones: Skeleton) -> Frame:
    """Raises Unencodable where an answer is closed by no control token."""
    for place, slot in enumerate(bones.slots):
        if slot.role == "assistant":
            stop_token(control, bones, place)
    ahead = ""
    contexts = []
    for slot in bones.slots:
        contexts.append(control.context(slot.header or ahead))
        ahead = "\x00"  # a content: plain text
    return Frame(
        bones,
        headers=tuple(_literal(control, slot.header) for slot in bones.slots),
        leads=tuple(_literal(control, slot.lead) for slot in bones.slots),
        contexts=tuple(contexts),
        tail=_literal(control, bones.tail),
    )


def stop_token(control: ControlTokens, bones: Skeleton, place: int) -> str:
    """The control token that closes the answer in this slot: the first one after its content."""
    last = place + 1 == len(bones.slots)
    literal = bones.tail if last else bones.slots[place + 1].header
    found = control.pattern.search(literal)
    if found is None:
        raise Unencodable(
            "answer_not_closed",
            f"an answer is followed by {literal!r}, which holds no token that can stop generation",
        )
    return found.group()


def _literal(control: ControlTokens, text: str) -> Literal:
    return Literal(control.spell(text), control.count(text))
