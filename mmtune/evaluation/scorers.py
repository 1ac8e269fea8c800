"""Scorers: plugs that read one answer and give it a number from 0 to 1.

`train.select.scorer` names one; judges join the table later.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mmtune.errors import DataError
from mmtune.pocket.oracle import grade_by_facts

Scorer = Callable[[Mapping[str, Any], str, str, str], float]
"""`(facts, prompt, reference, answer) -> score`, 0 to 1. `facts` are the row's columns beside the
conversation; most scorers need none."""


def oracle(facts: Mapping[str, Any], prompt: str, reference: str, answer: str) -> float:
    """1 where the pocket world's oracle finds the answer right, else 0.

    `facts` must hold the pocket row's columns `kind` and `facts`; DataError says so where not.
    """
    missing = [name for name in ("kind", "facts") if not facts.get(name)]
    if missing:
        raise DataError(
            f"the scorer 'oracle' reads rows of the pocket world; the row of the prompt "
            f"{prompt[:60]!r} has no {' and no '.join(missing)}: choose exact_match or overlap"
        )
    return float(grade_by_facts(str(facts["kind"]), facts["facts"], answer))


def exact_match(facts: Mapping[str, Any], prompt: str, reference: str, answer: str) -> float:
    """1 where answer and reference are the same after `normalized`, else 0; empty never matches."""
    told = normalized(answer)
    return float(bool(told) and told == normalized(reference))


def overlap(facts: Mapping[str, Any], prompt: str, reference: str, answer: str) -> float:
    """F1 of the normalised words, as bags (SQuAD; Rajpurkar et al. 2016, section 6.1).

    Example: reference "a red star", answer "red star" -> 1.0; answer "red heart" -> 0.5.
    """
    told, wanted = normalized(answer).split(), normalized(reference).split()
    shared = sum((Counter(told) & Counter(wanted)).values())
    return 2 * shared / (len(told) + len(wanted)) if shared else 0.0


def normalized(text: str) -> str:
    """Lower case, no punctuation, no English articles, one space (SQuAD's normalisation).

    Signs inside numbers stay, so that -3.5 is not 35; letters of every script are kept.
    """
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", text)
    text = re.sub(r"(?<=\d)\.(?=\d)", "·", text)
    text = "".join(" " if _is_punctuation(character) else character for character in text)
    text = re.sub(r"\b(a|an|the)\b", " ", text)
    return " ".join(text.replace("·", ".").replace("−", "-").split())


def _is_punctuation(character: str) -> bool:
    return character != "·" and unicodedata.category(character).startswith("P")


SCORERS: Mapping[str, Scorer] = {
    "oracle": oracle,
    "exact_match": exact_match,
    "overlap": overlap,
}
"""By the name that `train.select.scorer` gives."""
