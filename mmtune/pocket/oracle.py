"""Right or wrong: grades a free-text answer to an instruction of the pocket world.

What is right is computed from the problem's facts, never from the reference answer. Extra words are
allowed; naming several candidates, denying the right one, or restating the prompt is not an answer.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mmtune.pocket import mentions
from mmtune.pocket.gazetteer import COUNTRIES, PRODUCTS, RIVERS, TOWNS
from mmtune.pocket.lexicon import CATEGORIES, CATEGORY_OF
from mmtune.pocket.statements import pick
from mmtune.pocket.world import (
    COLORS,
    DIRECTIONS,
    SHAPES,
    Scene,
    Thing,
    count_things,
    recolored,
    thing_at,
    thing_beside,
)

Facts = Mapping[str, Any]


def grade_by_facts(kind: str, facts: Facts | str, text: str) -> bool:
    """Whether `text` is a right answer to the problem that `kind` and `facts` describe.

    `facts` may be the JSON text of a data row. Raises ValueError for a kind that does not exist.
    Example: `grade_by_facts("arithmetic", {"a": 2, "b": 3, "minus": False}, "It's 5!")` -> True.
    """
    if kind not in _GRADERS:
        raise ValueError(f"no task is called {kind!r}; there are {', '.join(sorted(_GRADERS))}")
    known = json.loads(facts) if isinstance(facts, str) else facts
    said = mentions.plain(text)
    return bool(said) and _GRADERS[kind](known, said)


def _names_only(said: str, wanted: str, vocabulary: Iterable[str]) -> bool:
    """The text names `wanted` and nothing else of the vocabulary, and does not deny it."""
    words = list(vocabulary)
    rivals = "|".join(re.escape(word.lower()) for word in words if word != wanted)
    said = re.sub(rf",? (?:and |but )?(?:not|rather than) (?:an? |the )?(?:{rivals})\b", "", said)
    return set(mentions.terms(said, words)) == {wanted} and not mentions.is_negated(said)


def _keeps_to(said: str, subject: str, vocabulary: Iterable[str]) -> bool:
    """Nothing of the vocabulary but the subject is spoken of."""
    return set(mentions.terms(said, vocabulary)) <= {subject}


def _gives_number(said: str, wanted: int, given: Sequence[int] = ()) -> bool:
    """The one number said is `wanted`, after one restatement of the given ones is taken off."""
    left = mentions.numbers(said)
    if mentions.is_negated(said):
        return False
    if set(left) == {str(wanted)} and len(left) <= 2 and wanted not in given:
        return True
    if left == [str(wanted)]:
        return True
    for number in map(str, given):
        if number in left:
            left.remove(number)
    return bool(left) and set(left) == {str(wanted)}


def _count(facts: Facts, said: str) -> bool:
    scene = Scene.from_facts(facts["scene"])
    color, shape = facts["color"], facts["shape"]
    wanted = count_things(scene, color=color, shape=shape)
    alike = [t for t in scene.things if color in ("", t.color) and shape in ("", t.shape)]
    colors, shapes = set(mentions.terms(said, COLORS)), set(mentions.terms(said, SHAPES))
    subject, detail = (colors, shapes) if color else (shapes, colors)
    if not subject <= {color or shape}:
        return False
    # "2 red objects: a star and a heart": details must be those of the things counted.
    if detail and (not subject or detail != {t.shape if color else t.color for t in alike}):
        return False
    if wanted == 0 and not mentions.numbers(said):
        return re.search(r"\b(no|none)\b", said) is not None
    return _gives_number(said, wanted)


def _color(facts: Facts, said: str) -> bool:
    thing = thing_at(Scene.from_facts(facts["scene"]), facts["cell"])
    assert thing is not None
    return (
        _names_only(said, thing.color, COLORS)
        and set(mentions.cells(said)) <= {thing.cell}
        and _keeps_to(said, thing.shape, SHAPES)
    )


def _named(scene: Scene, name: str) -> Thing:
    return next(thing for thing in scene.things if thing.name == name)


def _place(facts: Facts, said: str) -> bool:
    thing = _named(Scene.from_facts(facts["scene"]), facts["name"])
    return (
        set(mentions.cells(said)) == {thing.cell}
        and not mentions.is_negated(said)
        and _keeps_to(said, thing.color, COLORS)
        and _keeps_to(said, thing.shape, SHAPES)
    )


_AFFIRMS = re.compile(r"\b(there is|there's|is in|has|shows|contains|is present)\b")
_DENIES = re.compile(r"\b(no|none|without)\b")


def _presence(facts: Facts, said: str) -> bool:
    color, shape = facts["color"], facts["shape"]
    is_there = count_things(Scene.from_facts(facts["scene"]), color=color, shape=shape) > 0
    named = {(c, s) for _, c, s in mentions.things(said)}
    if named and named != {(color, shape)}:
        return False
    opening = re.match(r"(yes|no)\b\W*", said)
    rest = said[opening.end() :] if opening else said
    denied = mentions.is_negated(rest) or _DENIES.search(rest) is not None
    affirmed = not denied and _AFFIRMS.search(rest) is not None
    if opening is None:
        # "I am not able to": only a sentence about the thing, or about what there is, counts.
        on_topic = bool(named) or re.search(r"\bthere\b|\bscene\b", rest)
        return bool(on_topic) and (not denied and affirmed if is_there else denied)
    # `no` alone is an answer; a sentence beside it must agree with it.
    return (
        not denied
        if opening[1] == "yes" and is_there
        else (opening[1] == "no" and not is_there and not affirmed)
    )


_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def _beside(facts: Facts, said: str) -> bool:
    scene = Scene.from_facts(facts["scene"])
    asked = _named(scene, facts["name"])
    wanted = thing_beside(scene, asked, facts["direction"])
    assert wanted is not None
    named = {f"{color} {shape}": size for size, color, shape in mentions.things(said)}
    if not named:
        twins = count_things(scene, shape=wanted.shape)
        return (
            twins == 1
            and _names_only(said, wanted.shape, SHAPES)
            and not (mentions.terms(said, COLORS))
        )
    if len(set(mentions.cells(said))) > 1:
        return False  # the scene told again
    if wanted.name not in named or not set(named) <= {wanted.name, asked.name}:
        return False
    if named[wanted.name] not in ("", wanted.size) or mentions.is_negated(said):
        return False
    bases = re.findall(rf"\b({'|'.join(DIRECTIONS)}) (?:the |an? )?(\w+) (\w+)\b", said)
    right = {
        (facts["direction"], asked.name),
        (_OPPOSITE[facts["direction"]], wanted.name),
    }
    known = {thing.name for thing in scene.things}
    claims = {(way, f"{color} {shape}") for way, color, shape in bases}
    return {claim for claim in claims if claim[1] in known} <= right


def _summary(facts: Facts, said: str) -> bool:
    scene = Scene.from_facts(facts["scene"])
    if mentions.cells(said):
        return False  # the scene told again, not summed up
    counted: Counter[tuple[str, str]] = Counter()
    # "2 red circles", "a large red circle", "one circle"
    pattern = rf"(\w+) (?:small |large )?(?:({'|'.join(COLORS)}) )?({'|'.join(SHAPES)})s?\b"
    found = re.findall(pattern, said)
    for amount, color, shape in found:
        number = "1" if amount in ("a", "an") else "".join(mentions.numbers(amount))
        if not number.isdigit():
            return False
        counted[color, shape] += int(number)
    if len(found) != len(mentions.terms(said, SHAPES)) or mentions.is_negated(said):
        return False
    by_shape = {s: sum(n for (_, shape), n in counted.items() if shape == s) for s in SHAPES}
    return by_shape == {shape: count_things(scene, shape=shape) for shape in SHAPES} and all(
        n <= count_things(scene, color=color, shape=shape) for (color, shape), n in counted.items()
    )


def _recolor(facts: Facts, said: str) -> bool:
    wanted = recolored(Scene.from_facts(facts["scene"]), facts["old"], facts["new"])
    said_things = mentions.placed_things(said)
    right = sorted((t.color, t.shape, t.cell, t.size) for t in wanted.things)
    told = sorted((color, shape, cell, size) for size, color, shape, cell in said_things)
    return len(told) == len(right) and all(
        one[:3] == other[:3] and one[3] in ("", other[3])
        for one, other in zip(told, right, strict=True)
    )


def _lists(said: str, found: list[str], wanted: list[str], given: list[str]) -> bool:
    """The items are the wanted ones in their order, perhaps after the given ones restated."""
    return found in (wanted, given + wanted) and mentions.is_bare_list(said, wanted)


def _sort_numbers(facts: Facts, said: str) -> bool:
    wanted = [str(n) for n in sorted(facts["numbers"], reverse=facts["downwards"])]
    return _lists(said, mentions.numbers(said), wanted, [str(n) for n in facts["numbers"]])


def _sort_words(facts: Facts, said: str) -> bool:
    return _lists(said, mentions.words(said), sorted(facts["words"]), facts["words"])


def _reverse(facts: Facts, said: str) -> bool:
    return _lists(said, mentions.words(said), facts["words"][::-1], facts["words"])


_OTHER_END = {"first": "last", "last": "first", "smallest": "largest", "largest": "smallest"}


def _pick(facts: Facts, said: str) -> bool:
    which, items = facts["which"], facts["items"]
    if _OTHER_END[which] in said or mentions.is_negated(said):
        return False
    found = mentions.words(said) if which in ("first", "last") else mentions.numbers(said)
    return _singles_out(found, pick(which, items), items)


def _singles_out(found: list[str], wanted: str, given: list[str]) -> bool:
    """Only the wanted item is named, perhaps after the given list restated."""
    return bool(found) and (set(found) == {wanted} or found == [*given, wanted])


_MORE = r"larger|bigger|greater|higher|more|over|above"
_LESS = r"smaller|less|lower|fewer|under|below"


def _compares(said: str, found: list[str], wanted: str, rival: str, sense: str) -> bool:
    """`wanted` is singled out of the two; `sense`: the words that mean what was asked for."""
    other_sense = _LESS if sense == _MORE else _MORE
    # Talk around the answer may hold such words as "more" too.
    either = re.compile(rf"\b({wanted}|{rival})\b", re.IGNORECASE)
    said = ".".join(part for part in re.split(r"[.!]", said) if either.search(part))
    if mentions.is_negated(said) or not found or not set(found) <= {wanted, rival}:
        return False
    if sorted(found[:2]) == sorted([wanted, rival]) and found[2:]:
        found = found[2:]
    if set(found) == {wanted}:
        is_cut = re.search(rf"\bof {wanted} (and|or)\b(?!.*\b{rival}\b)", said, re.IGNORECASE)
        return not is_cut and re.search(rf"\b({other_sense})\b", said) is None
    right = wanted == found[0] and re.search(rf"\b({sense})\b.*\bthan\b", said)
    turned = rival == found[0] and re.search(rf"\b({other_sense})\b.*\bthan\b", said)
    both = re.search(rf"\b({sense})\b", said) and re.search(rf"\b({other_sense})\b", said)
    return len(found) == 2 and bool(right or turned) and not both


def _larger(facts: Facts, said: str) -> bool:
    low, high = sorted((facts["a"], facts["b"]))
    wanted, rival = (low, high) if facts["smaller"] else (high, low)
    sense = _LESS if facts["smaller"] else _MORE
    return _compares(said, mentions.numbers(said), str(wanted), str(rival), sense)


def _more_people(facts: Facts, said: str) -> bool:
    rival, wanted = sorted((facts["a"], facts["b"]), key=lambda name: TOWNS[name].thousands)
    return _compares(said, mentions.terms(said, TOWNS), wanted, rival, _MORE)


def _arithmetic(facts: Facts, said: str) -> bool:
    a, b = facts["a"], facts["b"]
    wanted = a - b if facts["minus"] else a + b
    results = re.findall(r"(?:\bis|=|\bequals) (\d+)\b(?! ?(?:[-+]|plus|minus))", said)
    return set(results) <= {str(wanted)} and _gives_number(said, wanted, [a, b])


def _next_number(facts: Facts, said: str) -> bool:
    given = facts["numbers"]
    return _gives_number(said, 2 * given[-1] - given[-2], given)


def _odd_one(facts: Facts, said: str) -> bool:
    counted = Counter(CATEGORY_OF[word] for word in facts["words"])
    (wanted,) = (word for word in facts["words"] if counted[CATEGORY_OF[word]] == 1)
    if mentions.is_negated(said):
        return False
    return _singles_out(mentions.words(said), wanted, facts["words"])


def _category(facts: Facts, said: str) -> bool:
    word = facts["word"]
    spoken_of = set(mentions.words(said)) <= {word}
    return spoken_of and _names_only(said, CATEGORY_OF[word], CATEGORIES)


def _capital(facts: Facts, said: str) -> bool:
    country = COUNTRIES[facts["country"]]
    return _names_only(said, country.capital, TOWNS) and _keeps_to(said, country.name, COUNTRIES)


def _known_for(facts: Facts, said: str) -> bool:
    town = TOWNS[facts["town"]]
    return _names_only(said, town.product, PRODUCTS) and _keeps_to(said, town.name, TOWNS)


def _river(facts: Facts, said: str) -> bool:
    town = TOWNS[facts["town"]]
    return _names_only(said, town.river, RIVERS) and _keeps_to(said, town.name, TOWNS)


_GRADERS: Mapping[str, Callable[[Facts, str], bool]] = {
    "count": _count,
    "color": _color,
    "place": _place,
    "presence": _presence,
    "beside": _beside,
    "summary": _summary,
    "recolor": _recolor,
    "sort_numbers": _sort_numbers,
    "sort_words": _sort_words,
    "reverse": _reverse,
    "pick": _pick,
    "larger": _larger,
    "arithmetic": _arithmetic,
    "next_number": _next_number,
    "odd_one": _odd_one,
    "category": _category,
    "capital": _capital,
    "known_for": _known_for,
    "river": _river,
    "more_people": _more_people,
}
