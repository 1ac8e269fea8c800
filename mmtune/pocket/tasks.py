"""The kinds of instruction of the pocket world, and how one of each is drawn.

A problem holds plain facts from which `oracle` computes right and wrong without the answer given
here. What the answers say comes from `statements`; how people ask is in `wordings`.
"""

from collections.abc import Callable, Mapping
from random import Random

from mmtune.pocket import scene_tasks
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
from mmtune.pocket.problem import Problem, asked
from mmtune.pocket.world import with_article


def _list_context(rng: Random, items: list[str]) -> str:
    return f"The list: {say.listed(items)}{rng.choice(['.', '.', ''])}"


def _sort_numbers(rng: Random) -> Problem:
    downwards = rng.random() < 0.4
    numbers = draw_numbers(rng)
    while numbers == sorted(numbers, reverse=downwards):
        numbers = draw_numbers(rng)
    wordings = ask.SORT_DOWN if downwards else ask.SORT_UP
    return Problem(
        asked(rng, wordings, _list_context(rng, [str(n) for n in numbers])),
        say.state_sorted_numbers(numbers, downwards=downwards),
        {"numbers": numbers, "downwards": downwards},
    )


def _sort_words(rng: Random) -> Problem:
    words = draw_words(rng)
    while words == sorted(words):
        words = draw_words(rng)
    return Problem(
        asked(rng, ask.SORT_WORDS, _list_context(rng, words)),
        say.state_sorted_words(words),
        {"words": words},
    )


def _reverse(rng: Random) -> Problem:
    words = draw_words(rng)
    return Problem(
        asked(rng, ask.REVERSE, _list_context(rng, words)),
        say.state_reversed(words),
        {"words": words},
    )


def _pick(rng: Random) -> Problem:
    which = rng.choice(("first", "last", "smallest", "largest"))
    of_words = which in ("first", "last")
    items = draw_words(rng) if of_words else [str(number) for number in draw_numbers(rng)]
    noun = f"{which} {'word' if of_words else 'number'}"
    return Problem(
        asked(rng, ask.PICK, _list_context(rng, items), noun=noun),
        say.state_pick(which, items),
        {"which": which, "items": items},
    )


def _larger(rng: Random) -> Problem:
    (a, b), smaller = draw_pair(rng), rng.random() < 0.4
    which = "smaller" if smaller else "larger"
    return Problem(
        asked(rng, ask.LARGER, a=a, b=b, which=which),
        say.state_larger(a, b, smaller=smaller),
        {"a": a, "b": b, "smaller": smaller},
    )


def _sum(rng: Random) -> Problem:
    a, b, minus = draw_sum(rng)
    return Problem(
        asked(rng, ask.MINUS if minus else ask.PLUS, a=a, b=b),
        say.state_sum(a, b, minus=minus),
        {"a": a, "b": b, "minus": minus},
    )


def _next_number(rng: Random) -> Problem:
    numbers = draw_sequence(rng)
    return Problem(
        asked(rng, ask.NEXT, numbers=say.listed(numbers)),
        say.state_next(numbers),
        {"numbers": numbers},
    )


def _odd_one(rng: Random) -> Problem:
    words, odd = draw_odd_one(rng)
    return Problem(
        asked(rng, ask.ODD_ONE, words=say.listed(words)),
        say.state_odd_one(words, odd),
        {"words": words},
    )


def _category(rng: Random) -> Problem:
    word = rng.choice(WORDS)
    other = rng.choice([name for name in sorted(CATEGORIES) if name != CATEGORY_OF[word]])
    one, two = rng.sample([with_article(CATEGORY_OF[word]), with_article(other)], 2)
    return Problem(
        asked(rng, ask.CATEGORY, word=with_article(word), one=one, two=two),
        say.state_category(word),
        {"word": word},
    )


def _capital(rng: Random) -> Problem:
    country = rng.choice(list(COUNTRIES))
    prompt = asked(rng, ask.CAPITAL, country=country)
    return Problem(prompt, say.state_capital(country), {"country": country})


def _known_for(rng: Random) -> Problem:
    town = rng.choice(list(TOWNS))
    return Problem(asked(rng, ask.KNOWN_FOR, town=town), say.state_known_for(town), {"town": town})


def _river(rng: Random) -> Problem:
    town = rng.choice(list(TOWNS))
    return Problem(asked(rng, ask.RIVER, town=town), say.state_river(town), {"town": town})


def _more_people(rng: Random) -> Problem:
    a, b = rng.sample(list(TOWNS), 2)
    while abs(TOWNS[a].thousands - TOWNS[b].thousands) < 10:
        a, b = rng.sample(list(TOWNS), 2)
    prompt = asked(rng, ask.MORE_PEOPLE, a=a, b=b)
    return Problem(prompt, say.state_more_people(a, b), {"a": a, "b": b})


TASKS: Mapping[str, Callable[[Random], Problem]] = {
    "count": scene_tasks.count,
    "color": scene_tasks.color,
    "place": scene_tasks.place,
    "presence": scene_tasks.presence,
    "beside": scene_tasks.beside,
    "summary": scene_tasks.summary,
    "recolor": scene_tasks.recolor,
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
