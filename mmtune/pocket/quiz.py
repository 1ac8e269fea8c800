"""A Quiz: one question of a pocket task as named fields, with its options; and how they are drawn.

Nothing is phrased here: the words around the fields come from templates.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

YES_NO = ("yes", "no")


@dataclass(frozen=True, slots=True)
class Quiz:
    """What is asked about, the right answer, and two to four options of which it is one."""

    fields: Mapping[str, str]
    answer: str
    choices: tuple[str, ...]


def among(
    rng: Random, fields: Mapping[str, str], answer: str | int, wrong: Iterable[str | int]
) -> Quiz:
    """The right answer among wrong ones, in random order.

    Raises ValueError where a wrong one is the right one, or none is given.
    """
    choices = [str(answer), *dict.fromkeys(map(str, wrong))]
    if choices.count(str(answer)) > 1 or len(choices) < 2:
        raise ValueError(f"no choice: {choices}")
    rng.shuffle(choices)
    return Quiz(fields, str(answer), tuple(choices))


def yes_or_no(fields: Mapping[str, str], answer: bool) -> Quiz:
    """Options in one order, as people name them."""
    return Quiz(fields, YES_NO[not answer], YES_NO)


def near_numbers(rng: Random, right: int, count: int = 3) -> list[int]:
    """`count` others that a careless reader might give: close by, or a ten away."""
    around = {right + step for step in (-10, -2, -1, 1, 2, 10) if right + step >= 0}
    return rng.sample(sorted(around), count)
