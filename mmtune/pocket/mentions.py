"""What a free text mentions: numbers, words of the pocket world, cells, things. For the oracle."""

import re
from collections.abc import Iterable, Sequence

from mmtune.pocket.lexicon import WORDS
from mmtune.pocket.world import COLORS, SHAPES, SIZES

_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
}
_SAME_WORDS = {"centre": "center", "upper": "top", "lower": "bottom", "colour": "color"}
_NEGATION = re.compile(r"\b(not|never|neither|nor|wrong|false)\b|n't\b")
_CELL = re.compile(r"\b(top|bottom|middle|center) (left|middle|center|right)\b|\bcenter\b")
_THING = re.compile(rf"\b(?:({'|'.join(SIZES)}) )?({'|'.join(COLORS)}) ({'|'.join(SHAPES)})s?\b")


def plain(text: str) -> str:
    """Lower case, no markup, one spelling, one space, and without what is only asked (`...?`).

    Example: "**Top-Left**. Is it red?" -> "top left."
    """
    text = re.sub(r"<[^<>]*>|&\w+;|[*_`#]", " ", text.lower().replace("’", "'"))
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text)
    text = re.sub(r"[a-z]+", lambda found: _SAME_WORDS.get(found[0], found[0]), text)
    text = re.sub(r"[^.!?\n]*\?", " ", text)
    return re.sub(r"\s+", " ", text).strip()


def is_negated(text: str) -> bool:
    """Whether the (plain) text denies something."""
    return _NEGATION.search(text) is not None


def numbers(text: str) -> list[str]:
    """Numbers in order, small ones also as words: "two of 10" -> ["2", "10"]."""
    if any(character.isdigit() for character in text):
        text = re.sub(r"\bone\b", " ", text)  # "this one", "the larger one"
    text = re.sub(r"[a-z]+", lambda found: _NUMBER_WORDS.get(found[0], found[0]), text)
    found = re.findall(r"(?:(?<![\w)]) ?-)?\d+(?:\.\d+)?", text)
    return [number.strip() for number in found]


def terms(text: str, vocabulary: Iterable[str]) -> list[str]:
    """Which of these words the text names, in order, singular or plural."""
    stems = {word.lower().removesuffix("s"): word for word in vocabulary}
    longest_first = sorted(stems, key=len, reverse=True)
    pattern = rf"\b({'|'.join(map(re.escape, longest_first))})(?:s|es)?\b"
    return [stems[found] for found in re.findall(pattern, text)]


def words(text: str) -> list[str]:
    """Words of the lexicon in order."""
    return [found for found in re.findall(r"[a-z]+", text) if found in WORDS]


def cells(text: str) -> list[str]:
    """Cells in order: "top center and center" -> ["top middle", "center"]."""
    return [_cell_name(found[0]) for found in _CELL.finditer(text)]


def _cell_name(name: str) -> str:
    if name == "center":
        return name
    row, column = name.replace("center", "middle").split()
    return "center" if (row, column) == ("middle", "middle") else f"{row} {column}"


def things(text: str) -> list[tuple[str, str, str]]:
    """`(size or "", color, shape)` of each thing named, in order."""
    return [(size, color, shape) for size, color, shape in _THING.findall(text)]


def placed_things(text: str) -> list[tuple[str, str, str, str]]:
    """Things with the one cell that is named before the next thing; "" where there is none."""
    found = list(_THING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)] * bool(found)
    placed = []
    for match, end in zip(found, ends, strict=True):
        after = cells(text[match.end() : end])
        size, color, shape = match.groups(default="")
        placed.append((size, color, shape, after[0] if len(after) == 1 else ""))
    return placed


def is_bare_list(text: str, items: Sequence[str]) -> bool:
    """Whether `items` stand in a row with nothing but commas, `and` or bullets between them, and
    the row then ends: with the text or the sentence."""
    between = r"(?:\s*(?:,|;|>|<|->|and|then|-|\d+[.)])\s*|\s+)+"
    row = between.join(rf"\b{re.escape(item)}\b" for item in items)
    return re.search(rf"{row}\s*(?:$|[.!;)\]\"'-])", text) is not None
