"""A conversation's turns as strings, and their place in the template's text."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmtune.encoding.chat_format import ChatFormat
from mmtune.encoding.frames import Frame
from mmtune.encoding.samples import Unencodable
from mmtune.encoding.skeleton import messages, rewritten
from mmtune.types import Conversation, Text


@dataclass(frozen=True, slots=True)
class Said:
    """A turn in plain strings."""

    role: str
    text: str
    learn: bool


def plain_turns(conversation: Conversation, fmt: ChatFormat) -> list[Said]:
    """The turns as strings, system turns folded into users' where the template takes none."""
    said = []
    for turn in conversation.turns:
        if not all(isinstance(part, Text) for part in turn.parts):
            raise Unencodable("picture_in_text", "this chat format takes text only")
        _check_unicode(turn.text)
        said.append(Said(turn.role, turn.text, turn.learn))
    if not said:
        raise Unencodable("no_turns", "the conversation is empty")
    return _folded(said) if fmt.folds_system else said


def _check_unicode(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Unencodable("invalid_unicode", str(error)) from error


def _folded(said: Sequence[Said]) -> list[Said]:
    """System turns put before the next user's text, with a blank line between."""
    folded: list[Said] = []
    waiting: list[str] = []
    for turn in said:
        if turn.role == "system":
            waiting.append(turn.text)
        elif turn.role == "user" and waiting:
            folded.append(Said("user", "\n\n".join([*waiting, turn.text]), turn.learn))
            waiting = []
        else:
            folded.append(turn)
    if waiting:
        raise Unencodable("system_without_user", "the template takes no system turn by itself")
    return folded


def laid_out(said: Sequence[Said], fmt: ChatFormat, *, generation: bool) -> tuple[Frame, list[str]]:
    """The frame, and what the template makes of the contents; compared with the true rendering."""
    roles = tuple(turn.role for turn in said)
    contents = [turn.text for turn in said]
    layout = fmt.frame(roles, generation=generation)
    bones = layout.bones
    true = fmt.render(messages(roles, contents), generation)
    values = [""] * len(said)
    for slot in bones.slots:
        values[slot.turn] = slot.value(contents[slot.turn])
    if bones.filled(values) == true:
        return layout, values
    return _laid_out_anew(layout, fmt, contents, true, generation=generation)


def _laid_out_anew(
    layout: Frame, fmt: ChatFormat, contents: Sequence[str], true: str, *, generation: bool
) -> tuple[Frame, list[str]]:
    """Where the template does more than trim these very contents (takes out reasoning, say)."""
    bones, values = rewritten(fmt.render, layout.bones, contents, generation=generation)
    forged = any(
        fmt.control.count(value) > fmt.control.count(content)
        for value, content in zip(values, contents, strict=True)
    )
    if forged or bones.filled(values) != true:
        raise Unencodable(
            "template_rewrites_content",
            "it is more than the template's text and the contents",
        )
    return fmt.framed(bones), values
