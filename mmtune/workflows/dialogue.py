"""A dialogue with a model at the terminal: turns are kept until `/new`."""

import sys
from collections.abc import Sequence

from rich.console import Console

from mmtune.encoding.conversations import encode_prompt
from mmtune.encoding.samples import Unencodable
from mmtune.families.family import Family, GenerationSettings, Loaded
from mmtune.types import Conversation, Role, Text, Turn
from mmtune.workflows.answers import too_long
from mmtune.workflows.terminal import visible


def converse(
    kind: Family, loaded: Loaded, settings: GenerationSettings, *, system: str, out: Console
) -> None:
    """Read a line, answer it, with all that was said before; until `/quit` or the end of input."""
    opening = (_turn("system", system),) if system.strip() else ()
    turns: tuple[Turn, ...] = opening
    out.print("/new begins a new dialogue, /quit ends", style="dim")
    while (line := _line()) is not None:
        if line == "/quit":
            return
        if line == "/new":
            turns = opening
            continue
        if not line:
            continue
        asked = (*turns, _turn("user", line))
        if fault := _fault(asked, loaded, settings):
            out.print(f"{fault}; /new begins a new dialogue", style="yellow")
            continue
        [answer] = kind.generate(loaded, [Conversation("dialogue", asked)], settings)
        out.print(visible(answer.text) + ("" if answer.stopped else " [...]"))
        turns = (*asked, _turn("assistant", answer.text))


def _line() -> str | None:
    """None at the end of input."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


def _turn(role: Role, text: str) -> Turn:
    return Turn(role, (Text(text),))


def _fault(asked: Sequence[Turn], loaded: Loaded, settings: GenerationSettings) -> str:
    try:
        prompt = encode_prompt(Conversation("dialogue", tuple(asked)), loaded.chat_format)
    except Unencodable as error:
        return str(error)
    return too_long(len(prompt), loaded, settings)
