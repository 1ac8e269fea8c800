"""The answer options as a prompt shows them: FLAN's block, its variants, and what to answer then.

Wei et al. 2021, section 2.1; the variants are those of the Flan Collection (Longpre et al. 2023).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mmtune.errors import FormatError
from mmtune.templates.draws import keyed_index, keyed_random

Variant = Literal["with", "without", "shuffled", "lettered", "varied"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

HEADERS = (
    "OPTIONS:",
    "Options:",
    "Choose from:",
    "Possible answers:",
    "The answer is one of these:",
    "Pick one:",
    "Available answers:",
    "",
)


def _letter(index: int) -> str:
    """A to Z, then AA, AB ..., as spreadsheets have it."""
    head, last = divmod(index, 26)
    return (_letter(head - 1) if head else "") + chr(ord("A") + last)


_ROMAN = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


def _roman(number: int) -> str:
    text = ""
    for value, letters in _ROMAN:
        count, number = divmod(number, value)
        text += letters * count
    return text


@dataclass(frozen=True, slots=True)
class Bullet:
    """How one option is marked; `label` gives what is answered, None where it is the text."""

    mark: Callable[[int], str]
    label: Callable[[int], str] | None = None


_LETTERED = Bullet(lambda i: f"({_letter(i)}) ", lambda i: f"({_letter(i)})")

BULLETS = (
    Bullet(lambda i: "- "),
    Bullet(lambda i: "* "),
    Bullet(lambda i: "\u2022 "),
    Bullet(lambda i: ""),
    Bullet(lambda i: "+ "),
    _LETTERED,
    Bullet(lambda i: f"{_letter(i)}. ", lambda i: f"{_letter(i)}."),
    Bullet(lambda i: f"{_letter(i)}) ", lambda i: _letter(i)),
    Bullet(lambda i: f"({_letter(i).lower()}) ", lambda i: f"({_letter(i).lower()})"),
    Bullet(lambda i: f"{i + 1}. ", lambda i: f"{i + 1}."),
    Bullet(lambda i: f"({i + 1}) ", lambda i: f"({i + 1})"),
    Bullet(lambda i: f"[{i + 1}] ", lambda i: f"[{i + 1}]"),
    Bullet(lambda i: f"({_roman(i + 1)}) ", lambda i: f"({_roman(i + 1)})"),
)
_ENDINGS = ("", "", ";", ".")


@dataclass(frozen=True, slots=True)
class Options:
    """`targets[i]` is what to answer where the example's i-th choice is right."""

    block: str
    targets: tuple[str, ...]


def lay_out(choices: Sequence[str], variant: Variant, *, seed: int, example_id: str) -> Options:
    """The block for these choices.

    >>> lay_out(["yes", "no"], "lettered", seed=0, example_id="rte/1")
    Options(block='OPTIONS:\\n(A) yes\\n(B) no', targets=('(A)', '(B)'))
    """
    if not choices:
        raise FormatError(f"example {example_id!r} has no choices, and the template shows options.")
    texts = tuple(choices)
    if variant == "without":
        return Options("", texts)
    if variant == "shuffled":
        shown = list(texts)
        keyed_random(seed, "options", example_id).shuffle(shown)
        return Options(_block("OPTIONS:", [f"- {text}" for text in shown]), texts)
    if variant == "lettered":
        return _marked(texts, "OPTIONS:", _LETTERED, "")
    if variant == "varied":
        header = HEADERS[keyed_index(len(HEADERS), seed, "header", example_id)]
        bullet = BULLETS[keyed_index(len(BULLETS), seed, "bullet", example_id)]
        ending = _ENDINGS[keyed_index(len(_ENDINGS), seed, "ending", example_id)]
        return _marked(texts, header, bullet, ending)
    return Options(_block("OPTIONS:", [f"- {text}" for text in texts]), texts)


def _marked(texts: tuple[str, ...], header: str, bullet: Bullet, ending: str) -> Options:
    lines = [f"{bullet.mark(i)}{text}{ending}" for i, text in enumerate(texts)]
    if bullet.label is None:
        return Options(_block(header, lines), texts)
    return Options(_block(header, lines), tuple(map(bullet.label, range(len(texts)))))


def _block(header: str, lines: Sequence[str]) -> str:
    return "\n".join([header, *lines] if header else lines)
