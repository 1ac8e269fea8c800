"""The text that a chat template writes around contents, found by rendering marks in their place.

Spans come from where marks land, never from looking for the data in a rendering. Knows no tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmtune.encoding.control_tokens import private_word
from mmtune.encoding.samples import Unencodable
from mmtune.sandbox import Sandbox, TemplateFault

Message = Mapping[str, str]
Render = Callable[[Sequence[Message], bool], str]
"""(messages, add the generation prompt) -> text. Raises Unencodable where the template refuses."""

_SANDBOX = Sandbox(chat=True)
_CHARS_A_TURN = 2000
"""A turn counts as so much text in what a rendering may cost: some templates look at each often."""
_LEFT, _RIGHT = "\n \t", "\t \n"


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one turn's content, with the literal text before it.

    `header` ends where the generation prompt ends; `lead` is what the template writes between that
    and an answer's content (Qwen3: an empty think block), which the model must therefore learn to
    write. `lead` is empty for turns that are not the assistant's.
    """

    turn: int
    role: str
    header: str
    lead: str
    keeps_left: bool
    """Whether white space at the left end of the content is rendered."""
    keeps_right: bool

    def value(self, content: str) -> str:
        """The content as the template renders it, if it does no more than trim."""
        content = content if self.keeps_left else content.lstrip()
        return content if self.keeps_right else content.rstrip()


@dataclass(frozen=True, slots=True)
class Skeleton:
    """header, lead, content, header, lead, content ..., tail; slots in the order of the text."""

    slots: tuple[Slot, ...]
    tail: str

    @property
    def literals(self) -> list[str]:
        """All literal text but the leads of answers."""
        return [slot.header for slot in self.slots] + [self.tail]

    def after(self, place: int) -> str:
        """The literal text after the slot at this place, up to the next content."""
        if place + 1 == len(self.slots):
            return self.tail
        return self.slots[place + 1].header + self.slots[place + 1].lead

    def filled(self, values: Sequence[str]) -> str:
        """The rendering, with values in the order of the turns."""
        parts = [slot.header + slot.lead + values[slot.turn] for slot in self.slots]
        return "".join(parts) + self.tail


def skeleton(render: Render, roles: Sequence[str], *, generation: bool = False) -> Skeleton:
    """The template's text around turns of these roles, with a generation prompt after if wanted.

    Raises Unencodable where the template refuses the roles, leaves out a content, or opens an
    answer otherwise than its generation prompt does.
    """
    marks = _marks(len(roles))
    order, literals = _around(render(messages(roles, marks), generation), marks)
    padded = [_LEFT + mark + _RIGHT for mark in marks]
    padded_order, spaces = _around(render(messages(roles, padded), generation), marks)
    if padded_order != order:
        raise Unencodable("template_rewrites_content", "the order of turns depends on their text")
    keeps = [_kept(*pair) for pair in zip(literals, spaces, strict=True)]
    slots = []
    for place, turn in enumerate(order):
        header, lead = literals[place], ""
        if roles[turn] == "assistant":
            header, lead = _at_generation(render, roles[:turn], marks, header)
        left, right = keeps[place][1], keeps[place + 1][0]
        slots.append(Slot(turn, roles[turn], header, lead, left, right))
    return Skeleton(tuple(slots), literals[-1])


def rewritten(
    render: Render, bones: Skeleton, contents: Sequence[str], *, generation: bool = False
) -> tuple[Skeleton, list[str]]:
    """For a template that does more to these contents than trim: what it makes of each.

    Each content is rendered alone among marks, so that its span is still known by construction.
    What the template writes of an answer after the generation prompt is then all of it value.
    """
    roles = [slot.role for slot in sorted(bones.slots, key=lambda slot: slot.turn)]
    marks = _marks(len(roles))
    slots, values = list(bones.slots), [""] * len(roles)
    for place, slot in enumerate(bones.slots):
        mixed = [*marks]
        mixed[slot.turn] = contents[slot.turn]
        text = render(messages(roles, mixed), generation)
        start = text.find(marks[bones.slots[place - 1].turn]) + len(marks[0]) if place else 0
        last = place + 1 == len(bones.slots)
        end = len(text) if last else text.find(marks[bones.slots[place + 1].turn])
        chunk, after = text[start:end], bones.after(place)
        if not (chunk.startswith(slot.header) and chunk.endswith(after)):
            raise Unencodable("template_rewrites_content", f"of turn {slot.turn + 1}")
        values[slot.turn] = chunk[len(slot.header) : len(chunk) - len(after)]
        slots[place] = replace(slot, lead="", keeps_left=True, keeps_right=True)
    return Skeleton(tuple(slots), bones.tail), values


def render_with(template: str, special: Mapping[str, Any]) -> Render:
    """A chat template as a Render that lays out what `apply_chat_template` does, bounded in memory
    and effort. `special` is the tokenizer's map of special tokens.

    Raises TemplateFault for what is no Jinja.
    """
    compiled = _SANDBOX.compile(template)
    fixed = {"tools": None, "documents": None, **special}

    def render(messages: Sequence[Message], generation: bool) -> str:
        chars = sum(_CHARS_A_TURN + len(message["content"]) for message in messages)
        try:
            return compiled.render(
                {"messages": list(messages), "add_generation_prompt": generation, **fixed}, chars
            )
        except TemplateFault as fault:
            raise Unencodable("template_refuses", str(fault)) from fault

    return render


def messages(roles: Sequence[str], contents: Sequence[str]) -> list[Message]:
    """Turns as chat templates take them."""
    return [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)]


def _marks(count: int) -> list[str]:
    word = private_word()
    return [
        f"{word}{chr(0xF8F0 - turn // 6000)}{chr(0xE000 + turn % 6000)}" for turn in range(count)
    ]


def _around(text: str, marks: Sequence[str]) -> tuple[list[int], list[str]]:
    """Turns in the order of the text, and the text before, between and after their marks."""
    for turn, mark in enumerate(marks):
        if text.count(mark) != 1:
            raise Unencodable(
                "template_loses_turn", f"it writes turn {turn + 1} {text.count(mark)} times"
            )
    order = sorted(range(len(marks)), key=lambda turn: text.index(marks[turn]))
    literals = []
    for turn in order:
        before, text = text.split(marks[turn])
        literals.append(before)
    return order, [*literals, text]


def _kept(literal: str, spaced: str) -> tuple[bool, bool]:
    """Whether the padding right of the content before, and left of the one after, is there."""
    for right in (True, False):
        for left in (True, False):
            if spaced == (_RIGHT if right else "") + literal + (_LEFT if left else ""):
                return right, left
    return True, True  # it does something else: the comparison of renderings will tell


def _at_generation(
    render: Render, before: Sequence[str], marks: Sequence[str], literal: str
) -> tuple[str, str]:
    """Cuts the literal before an answer at the end of what the generation prompt renders."""
    if before:
        _, pieces = _around(
            render(messages(before, marks[: len(before)]), True), marks[: len(before)]
        )
        prompt = pieces[-1]
        if not literal.startswith(prompt):
            raise Unencodable(
                "answer_not_opened_as_served",
                f"the generation prompt is {prompt!r}, but answers are opened by {literal!r}",
            )
        return prompt, literal[len(prompt) :]
    opening = _opening(render)
    at = literal.rfind(opening) + len(opening) if opening else len(literal)
    return literal[:at], literal[at:]


def _opening(render: Render) -> str:
    """What the generation prompt adds after a user's turn, for answers that open the dialogue."""
    user: list[Message] = [{"role": "user", "content": "x"}]
    plain, prompted = render(user, False), render(user, True)
    return prompted[len(plain) :] if prompted.startswith(plain) else ""
