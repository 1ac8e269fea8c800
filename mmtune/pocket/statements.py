"""The sentences in which the pocket world states a truth.

The corpus and the reference answers say a thing in the same words, subject first and value last, so
that what pre-training taught is what tuning calls up.
"""

from collections.abc import Sequence

from mmtune.pocket.gazetteer import COUNTRIES, TOWNS
from mmtune.pocket.lexicon import CATEGORY_OF
from mmtune.pocket.world import (
    SHAPES,
    Scene,
    Thing,
    count_things,
    joined,
    plural,
    recolored,
    with_article,
)


def state_count(scene: Scene, *, color: str = "", shape: str = "") -> str:
    """`The number of red objects in the scene is 2.`"""
    noun = f"{color} {shape or 'object'}s".strip()
    number = count_things(scene, color=color, shape=shape)
    return f"The number of {noun} in the scene is {number}."


def state_color(thing: Thing) -> str:
    """`The object at the top left is red.`"""
    return f"The object at the {thing.cell} is {thing.color}."


def state_place(thing: Thing) -> str:
    """`The red circle is at the top left.`"""
    return f"The {thing.name} is at the {thing.cell}."


def state_presence(scene: Scene, color: str, shape: str) -> str:
    """`A red circle is in the scene.`"""
    noun = with_article(f"{color} {shape}").capitalize()
    is_there = count_things(scene, color=color, shape=shape) > 0
    return f"{noun} is {'' if is_there else 'not '}in the scene."


def state_neighbour(thing: Thing, direction: str, other: Thing) -> str:
    """`Directly left of the blue star is the red circle.`"""
    return f"Directly {direction} the {thing.name} is the {other.name}."


def state_summary(scene: Scene) -> str:
    """`The scene shows 2 circles and 1 star.`"""
    numbers = [(count_things(scene, shape=shape), shape) for shape in SHAPES]
    return f"The scene shows {joined([plural(n, shape) for n, shape in numbers if n])}."


def state_recolored(scene: Scene, old: str, new: str) -> str:
    """`With blue in place of red: a large blue circle at the top left, ...`"""
    changed = recolored(scene, old, new)
    things = ", ".join(f"{with_article(t.full_name)} at the {t.cell}" for t in changed.things)
    return f"With {new} in place of {old}: {things}."


def state_sorted_numbers(numbers: Sequence[int], *, downwards: bool = False) -> str:
    """`Sorted from small to large: 3, 8, 21.`"""
    order = "large to small" if downwards else "small to large"
    return f"Sorted from {order}: {listed(sorted(numbers, reverse=downwards))}."


def state_sorted_words(words: Sequence[str]) -> str:
    """`In alphabetical order: bear, coat, rake.`"""
    return f"In alphabetical order: {listed(sorted(words))}."


def state_reversed(words: Sequence[str]) -> str:
    """`In reverse order: rake, coat, bear.`"""
    return f"In reverse order: {listed(list(words)[::-1])}."


def state_larger(a: int, b: int, *, smaller: bool = False) -> str:
    """`Of 34 and 71, the larger number is 71.`"""
    which, value = ("smaller", min(a, b)) if smaller else ("larger", max(a, b))
    return f"Of {a} and {b}, the {which} number is {value}."


def state_sum(a: int, b: int, *, minus: bool = False) -> str:
    """`23 plus 14 is 37.`"""
    return f"{a} minus {b} is {a - b}." if minus else f"{a} plus {b} is {a + b}."


def state_next(numbers: Sequence[int]) -> str:
    """`After 2, 4, 6, 8 comes 10.`"""
    step = numbers[1] - numbers[0]
    return f"After {listed(numbers)} comes {numbers[-1] + step}."


def state_odd_one(words: Sequence[str], odd: str) -> str:
    """`Among cat, dog, hammer, lion, the odd one out is hammer.`"""
    return f"Among {listed(words)}, the odd one out is {odd}."


def state_pick(which: str, items: Sequence[str] | Sequence[int]) -> str:
    """`The last word of the list is rake.` `which`: first, last, smallest or largest."""
    noun = "word" if which in ("first", "last") else "number"
    return f"The {which} {noun} of the list is {picked(which, items)}."


def picked(which: str, items: Sequence[str] | Sequence[int]) -> str:
    """The item of a list that `which` names."""
    if which in ("first", "last"):
        return str(items[0 if which == "first" else -1])
    numbers = [int(item) for item in items]
    return str(min(numbers) if which == "smallest" else max(numbers))


def state_category(word: str) -> str:
    """`A hammer is a tool.`"""
    return f"{with_article(word).capitalize()} is {with_article(CATEGORY_OF[word])}."


def state_capital(country: str) -> str:
    """`The capital of Velmora is Tarnby.`"""
    return f"The capital of {country} is {COUNTRIES[country].capital}."


def state_known_for(town: str) -> str:
    """`Tarnby is known for its glass.`"""
    return f"{town} is known for its {TOWNS[town].product}."


def state_river(town: str) -> str:
    """`The river that flows through Tarnby is the Ashel.`"""
    return f"The river that flows through {town} is the {TOWNS[town].river}."


def state_more_people(a: str, b: str) -> str:
    """`Of Tarnby and Drast, the town with more people is Drast.`"""
    larger = max((a, b), key=lambda name: TOWNS[name].thousands)
    return f"Of {a} and {b}, the town with more people is {larger}."


def listed(items: Sequence[str] | Sequence[int]) -> str:
    """`3, 8, 21`."""
    return ", ".join(map(str, items))
