"""What the graders of every kind share: is one thing named and no other, is one number given."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmtune.pocket import mentions

Facts = Mapping[str, Any]
"""Plain JSON: what the oracle needs to know of one problem."""


def names_only(said: str, wanted: str, vocabulary: Iterable[str]) -> bool:
    """The text names `wanted` and nothing else of the vocabulary, and does not deny it."""
    words = list(vocabulary)
    rivals = "|".join(re.escape(word.lower()) for word in words if word != wanted)
    said = re.sub(rf",? (?:and |but )?(?:not|rather than) (?:an? |the )?(?:{rivals})\b", "", said)
    return set(mentions.terms(said, words)) == {wanted} and not mentions.is_negated(said)


def keeps_to(said: str, subject: str, vocabulary: Iterable[str]) -> bool:
    """Nothing of the vocabulary but the subject is spoken of."""
    return set(mentions.terms(said, vocabulary)) <= {subject}


def gives_number(said: str, wanted: int, given: Sequence[int] = ()) -> bool:
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
    return set(left) == {str(wanted)}
