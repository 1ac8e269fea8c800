"""The kinds of instruction of the pocket world, and how one of each is drawn.

A problem holds plain facts from which `oracle` computes right and wrong without the answer given
here. What the answers say comes from `statements`; how people ask is in `wordings`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from mmtune.pocket import statements as say
from mmtune.pocket import wordings as ask
from mmtune.pocket.draws import (
    draw_numbers,
    draw_odd_one,
    draw_pair,
    draw_sequence,
    draw_sum,
    draw_words,
)
from mmtune.pocket.gazetteer import COUNTRIES, TOWNS
from mmtune.pocket.lexicon import CATEGORIES, CATEGORY_OF, WORDS
from mmtune.pocket.world import (
    COLORS,
    SHAPES,
    Scene,
    as_list,
    as_prose,
    count_things,
    draw_scene,
    neighbours,
    with_article,
)

Facts = Mapping[str, Any]
"""Plain JSON: what the oracle needs to know of one problem."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt, its reference answer, and what makes an answer right."""

    prompt: str
    answer: str
    facts: Facts


def _shown(rng: Random, scene: Scene) -> str:
    if rng.random() < 0.25:
        return f"The scene:\n{as_list(scene)}"
    return f"The scene: {as_prose(scene)}."


def _asked(rng: Random, wordings: tuple[str, ...], context: str = "", **words: object) -> str:
    """The question in one wording, before or after what it is about."""
    question = rng.choice(wordings).format(**words)
    if not context:
        return question
    return f"{question}\n{context}" if rng.random() < 0.5 else f"{context}\n{question}"


def _count(rng: Random) -> Problem:
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    if rng.random() < 0.5:
        wanted = {"color": thing.color if rng.random() < 0.85 else rng.choice(COLORS), "shape": ""}
    else:
        wanted = {"color": "", "shape": thing.shape if rng.random() < 0.85 else rng.choice(SHAPES)}
    noun = f"{wanted['color']} {wanted['shape'] or 'object'}s".strip()
    return Problem(
        _asked(rng, ask.COUNT, _shown(rng, scene), noun=noun),
        say.state_count(scene, **wanted),
        {"scene": scene.to_facts(), **wanted},
    )


def _color(rng: Random) -> Problem:
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    return Problem(
        _asked(rng, ask.COLOR, _shown(rng, scene), cell=thing.cell),
        say.state_color(thing),
        {"scene": scene.to_facts(), "cell": thing.cell},
    )


def _place(rng: Random) -> Problem:
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    return Problem(
        _asked(rng, ask.PLACE, _shown(rng, scene), name=thing.name),
        say.state_place(thing),
        {"scene": scene.to_facts(), "name": thing.name},
    )


def _presence(rng: Random) -> Problem:
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    color, shape = thing.color, thing.shape
    if rng.random() < 0.5:
        absent = [
            (c, s)
            for c in sorted({t.color for t in scene.things} | {rng.choice(COLORS)})
            for s in sorted({t.shape for t in scene.things} | {rng.choice(SHAPES)})
            if not count_things(scene, color=c, shape=s)
        ]
        color, shape = rng.choice(absent or [(color, shape)])
    return Problem(
        _asked(rng, ask.PRESENCE, _shown(rng, scene), thing=with_article(f"{color} {shape}")),
        say.state_presence(scene, color, shape),
        {"scene": scene.to_facts(), "color": color, "shape": shape},
    )


def _beside(rng: Random) -> Problem:
    scene = draw_scene(rng)
    while not neighbours(scene):
        scene = draw_scene(rng)
    thing, direction, other = rng.choice(neighbours(scene))
    return Problem(
        _asked(rng, ask.BESIDE, _shown(rng, scene), direction=direction, name=thing.name),
        say.state_neighbour(thing, direction, other),
        {"scene": scene.to_facts(), "name": thing.name, "direction": direction},
    )


def _summary(rng: Random) -> Problem:
    scene = draw_scene(rng)
    return Problem(
        _asked(rng, ask.SUMMARY, _shown(rng, scene)),
        say.state_summary(scene),
        {"scene": scene.to_facts()},
    )


def _recolor(rng: Random) -> Problem:
    scene = draw_scene(rng, count=rng.randint(2, 3))
    old = rng.choice(scene.things).color
    new = rng.choice([c for c in COLORS if c not in {t.color for t in scene.things}])
    return Problem(
        _asked(rng, ask.RECOLOR, _shown(rng, scene), old=old, new=new),
        say.state_recolored(scene, old, new),
        {"scene": scene.to_facts(), "old": old, "new": new},
    )


def _list_context(rng: Random, items: list[str]) -> str:
    return f"The list: {say.listed(items)}{rng.choice(['.', '.', ''])}"


def _sort_numbers(rng: Random) -> Problem:
    downwards = rng.random() < 0.4
    numbers = draw_numbers(rng)
    while numbers == sorted(numbers, reverse=downwards):
        numbers = draw_numbers(rng)
    wordings = ask.SORT_DOWN if downwards else ask.SORT_UP
    return Problem(
        _asked(rng, wordings, _list_context(rng, [str(n) for n in numbers])),
        say.state_sorted_numbers(numbers, downwards=downwards),
        {"numbers": numbers, "downwards": downwards},
    )


def _sort_words(rng: Random) -> Problem:
    words = draw_words(rng)
    while words == sorted(words):
        words = draw_words(rng)
    return Problem(
        _asked(rng, ask.SORT_WORDS, _list_context(rng, words)),
        say.state_sorted_words(words),
        {"words": words},
    )


def _reverse(rng: Random) -> Problem:
    words = draw_words(rng)
    return Problem(
        _asked(rng, ask.REVERSE, _list_context(rng, words)),
        say.state_reversed(words),
        {"words": words},
    )


def _pick(rng: Random) -> Problem:
    which = rng.choice(("first", "last", "smallest", "largest"))
    of_words = which in ("first", "last")
    items = draw_words(rng) if of_words else [str(number) for number in draw_numbers(rng)]
    noun = f"{which} {'word' if of_words else 'number'}"
    return Problem(
        _asked(rng, ask.PICK, _list_context(rng, items), noun=noun),
        say.state_pick(which, items),
        {"which": which, "items": items},
    )


def _larger(rng: Random) -> Problem:
    (a, b), smaller = draw_pair(rng), rng.random() < 0.4
    which = "smaller" if smaller else "larger"
    return Problem(
        _asked(rng, ask.LARGER, a=a, b=b, which=which),
        say.state_larger(a, b, smaller=smaller),
        {"a": a, "b": b, "smaller": smaller},
    )


def _sum(rng: Random) -> Problem:
    a, b, minus = draw_sum(rng)
    return Problem(
        _asked(rng, ask.MINUS if minus else ask.PLUS, a=a, b=b),
        say.state_sum(a, b, minus=minus),
        {"a": a, "b": b, "minus": minus},
    )


def _next_number(rng: Random) -> Problem:
    numbers = draw_sequence(rng)
    return Problem(
        _asked(rng, ask.NEXT, numbers=say.listed(numbers)),
        say.state_next(numbers),
        {"numbers": numbers},
    )


def _odd_one(rng: Random) -> Problem:
    words, odd = draw_odd_one(rng)
    return Problem(
        _asked(rng, ask.ODD_ONE, words=say.listed(words)),
        say.state_odd_one(words, odd),
        {"words": words},
    )


def _category(rng: Random) -> Problem:
    word = rng.choice(WORDS)
    other = rng.choice([name for name in sorted(CATEGORIES) if name != CATEGORY_OF[word]])
    one, two = rng.sample([with_article(CATEGORY_OF[word]), with_article(other)], 2)
    return Problem(
        _asked(rng, ask.CATEGORY, word=with_article(word), one=one, two=two),
        say.state_category(word),
        {"word": word},
    )


def _capital(rng: Random) -> Problem:
    country = rng.choice(list(COUNTRIES))
    prompt = _asked(rng, ask.CAPITAL, country=country)
    return Problem(prompt, say.state_capital(country), {"country": country})


def _known_for(rng: Random) -> Problem:
    town = rng.choice(list(TOWNS))
    return Problem(_asked(rng, ask.KNOWN_FOR, town=town), say.state_known_for(town), {"town": town})


def _river(rng: Random) -> Problem:
    town = rng.choice(list(TOWNS))
    return Problem(_asked(rng, ask.RIVER, town=town), say.state_river(town), {"town": town})


def _more_people(rng: Random) -> Problem:
    a, b = rng.sample(list(TOWNS), 2)
    while abs(TOWNS[a].thousands - TOWNS[b].thousands) < 10:
        a, b = rng.sample(list(TOWNS), 2)
    prompt = _asked(rng, ask.MORE_PEOPLE, a=a, b=b)
    return Problem(prompt, say.state_more_people(a, b), {"a": a, "b": b})


TASKS: Mapping[str, Callable[[Random], Problem]] = {
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
    "arithmetic": _sum,
    "next_number": _next_number,
    "odd_one": _odd_one,
    "category": _category,
    "capital": _capital,
    "known_for": _known_for,
    "river": _river,
    "more_people": _more_people,
}
KINDS = tuple(TASKS)
