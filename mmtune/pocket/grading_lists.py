"""Grades answers about lists, numbers and words: a function a kind, like `grading_scenes`."""

import re
from collections import Counter

from mmtune.pocket import mentions
from mmtune.pocket.grading import Facts, gives_number, names_only
from mmtune.pocket.lexicon import CATEGORIES, CATEGORY_OF
from mmtune.pocket.statements import picked


def _lists(said: str, found: list[str], wanted: list[str], given: list[str]) -> bool:
    """The items are the wanted ones in their order, perhaps after the given ones restated."""
    return found in (wanted, given + wanted) and mentions.is_bare_list(said, wanted)


def sort_numbers(facts: Facts, said: str) -> bool:
    wanted = [str(n) for n in sorted(facts["numbers"], reverse=facts["downwards"])]
    return _lists(said, mentions.numbers(said), wanted, [str(n) for n in facts["numbers"]])


def sort_words(facts: Facts, said: str) -> bool:
    return _lists(said, mentions.words(said), sorted(facts["words"]), facts["words"])


def reverse(facts: Facts, said: str) -> bool:
    return _lists(said, mentions.words(said), facts["words"][::-1], facts["words"])


_OTHER_END = {"first": "last", "last": "first", "smallest": "largest", "largest": "smallest"}


def pick(facts: Facts, said: str) -> bool:
    which, items = facts["which"], facts["items"]
    if _OTHER_END[which] in said or mentions.is_negated(said):
        return False
    found = mentions.words(said) if which in ("first", "last") else mentions.numbers(said)
    return _singles_out(found, picked(which, items), items)


def _singles_out(found: list[str], wanted: str, given: list[str]) -> bool:
    """Only the wanted item is named, perhaps after the given list restated."""
    return bool(found) and (set(found) == {wanted} or found == [*given, wanted])


MORE = r"larger|bigger|greater|higher|more|over|above"
LESS = r"smaller|less|lower|fewer|under|below"


def compares(said: str, found: list[str], wanted: str, rival: str, sense: str) -> bool:
    """`wanted` is singled out of the two; `sense`: the words that mean what was asked for."""
    other_sense = LESS if sense == MORE else MORE
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


def larger(facts: Facts, said: str) -> bool:
    low, high = sorted((facts["a"], facts["b"]))
    wanted, rival = (low, high) if facts["smaller"] else (high, low)
    sense = LESS if facts["smaller"] else MORE
    return compares(said, mentions.numbers(said), str(wanted), str(rival), sense)


def arithmetic(facts: Facts, said: str) -> bool:
    a, b = facts["a"], facts["b"]
    wanted = a - b if facts["minus"] else a + b
    results = re.findall(r"(?:\bis|=|\bequals) (\d+)\b(?! ?(?:[-+]|plus|minus))", said)
    return set(results) <= {str(wanted)} and gives_number(said, wanted, [a, b])


def next_number(facts: Facts, said: str) -> bool:
    given = facts["numbers"]
    return gives_number(said, 2 * given[-1] - given[-2], given)


def odd_one(facts: Facts, said: str) -> bool:
    counted = Counter(CATEGORY_OF[word] for word in facts["words"])
    (wanted,) = (word for word in facts["words"] if counted[CATEGORY_OF[word]] == 1)
    if mentions.is_negated(said):
        return False
    return _singles_out(mentions.words(said), wanted, facts["words"])


def category(facts: Facts, said: str) -> bool:
    word = facts["word"]
    spoken_of = set(mentions.words(said)) <= {word}
    return spoken_of and names_only(said, CATEGORY_OF[word], CATEGORIES)
