"""Right or wrong: grades a free-text answer to an instruction of the pocket world.

What is right is computed from the problem's facts, never from the reference answer. Extra words are
allowed; naming several candidates, denying the right one, or restating the prompt is not an answer.
"""

import json
from collections.abc import Callable, Mapping

from mmtune.pocket import grading_lists, grading_scenes, mentions
from mmtune.pocket.gazetteer import COUNTRIES, PRODUCTS, RIVERS, TOWNS
from mmtune.pocket.grading import Facts, keeps_to, names_only


def grade_by_facts(kind: str, facts: Facts | str, text: str) -> bool:
    """Whether `text` is a right answer to the problem that `kind` and `facts` describe.

    `facts` may be the JSON text of a data row. Raises ValueError for a kind that does not exist.
    Example: `grade_by_facts("arithmetic", {"a": 2, "b": 3, "minus": False}, "It's 5!")` -> True.
    """
    if kind not in _GRADERS:
        raise ValueError(f"no task is called {kind!r}; there are {', '.join(sorted(_GRADERS))}")
    known = json.loads(facts) if isinstance(facts, str) else facts
    return _GRADERS[kind](known, mentions.plain(text))


def _more_people(facts: Facts, said: str) -> bool:
    rival, wanted = sorted((facts["a"], facts["b"]), key=lambda name: TOWNS[name].thousands)
    return grading_lists.compares(
        said, mentions.terms(said, TOWNS), wanted, rival, grading_lists.MORE
    )


def _capital(facts: Facts, said: str) -> bool:
    country = COUNTRIES[facts["country"]]
    return names_only(said, country.capital, TOWNS) and keeps_to(said, country.name, COUNTRIES)


def _known_for(facts: Facts, said: str) -> bool:
    town = TOWNS[facts["town"]]
    return names_only(said, town.product, PRODUCTS) and keeps_to(said, town.name, TOWNS)


def _river(facts: Facts, said: str) -> bool:
    town = TOWNS[facts["town"]]
    return names_only(said, town.river, RIVERS) and keeps_to(said, town.name, TOWNS)


_GRADERS: Mapping[str, Callable[[Facts, str], bool]] = {
    "count": grading_scenes.count,
    "color": grading_scenes.color,
    "place": grading_scenes.place,
    "presence": grading_scenes.presence,
    "beside": grading_scenes.beside,
    "summary": grading_scenes.summary,
    "recolor": grading_scenes.recolor,
    "sort_numbers": grading_lists.sort_numbers,
    "sort_words": grading_lists.sort_words,
    "reverse": grading_lists.reverse,
    "pick": grading_lists.pick,
    "larger": grading_lists.larger,
    "arithmetic": grading_lists.arithmetic,
    "next_number": grading_lists.next_number,
    "odd_one": grading_lists.odd_one,
    "category": grading_lists.category,
    "capital": _capital,
    "known_for": _known_for,
    "river": _river,
    "more_people": _more_people,
}
