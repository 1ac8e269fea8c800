"""An endless stream of plain documents about the pocket world, for pre-training.

They state everything that the tasks ask about, as running prose and lists; none is an instruction
with its answer. Document i is a pure function of (seed, i).
"""

from collections.abc import Callable, Iterator
from random import Random

from mmtune.pocket import statements as say
from mmtune.pocket.draws import (
    draw_numbers,
    draw_odd_one,
    draw_pair,
    draw_sequence,
    draw_sum,
    draw_words,
    keyed,
)
from mmtune.pocket.gazetteer import COUNTRIES, PEOPLE, TOWNS
from mmtune.pocket.lexicon import CATEGORIES, WORDS
from mmtune.pocket.narrative import draw_narrative
from mmtune.pocket.world import (
    CELLS,
    COLORS,
    SHAPES,
    Scene,
    as_list,
    as_prose,
    draw_scene,
    joined,
    neighbours,
    plural,
    thing_at,
    with_article,
)


def documents(seed: int = 0, start: int = 0) -> Iterator[str]:
    """Documents `start`, `start + 1`, ... without end.

    Example: `next(documents(0))` -> "The scene: a small red heart at the center, ..."
    """
    index = start
    while True:
        yield document(seed, index)
        index += 1


def document(seed: int, index: int) -> str:
    """Document `index` of the stream of `seed`."""
    rng = keyed("corpus", seed, index)
    (write,) = rng.choices(_WRITERS, _WEIGHTS)
    return write(rng)


def scene_statements(rng: Random, scene: Scene) -> list[str]:
    """True sentences of every sort that fits the scene, in random order."""
    shown = rng.choice(scene.things)
    odd_color, odd_shape = rng.choice(COLORS), rng.choice(SHAPES)
    old = rng.choice(scene.things).color
    new = rng.choice([color for color in COLORS if color != old])
    found = [
        say.state_count(scene, color=rng.choice([shown.color, shown.color, odd_color])),
        say.state_count(scene, shape=rng.choice([shown.shape, shown.shape, odd_shape])),
        *(say.state_color(thing) for thing in rng.sample(scene.things, 2)),
        *(say.state_place(thing) for thing in rng.sample(scene.things, 2)),
        _presence(rng, scene),
        _presence(rng, scene),
        say.state_summary(scene),
        _aside(rng, scene),
    ]
    if rng.random() < 0.6:
        found.append(say.state_recolored(scene, old, new))
    pairs = neighbours(scene)
    found += [say.state_neighbour(*pair) for pair in rng.sample(pairs, min(2, len(pairs)))]
    rng.shuffle(found)
    return found


def _presence(rng: Random, scene: Scene) -> str:
    if rng.random() < 0.5:
        thing = rng.choice(scene.things)
        return say.state_presence(scene, thing.color, thing.shape)
    colors = sorted({thing.color for thing in scene.things})
    shapes = sorted({thing.shape for thing in scene.things})
    color = rng.choice(COLORS) if rng.random() < 0.4 else rng.choice(colors)
    shape = rng.choice(SHAPES) if rng.random() < 0.4 else rng.choice(shapes)
    return say.state_presence(scene, color, shape)


def _aside(rng: Random, scene: Scene) -> str:
    thing = rng.choice(scene.things)
    empty = [cell for cell in CELLS if thing_at(scene, cell) is None]
    return rng.choice(
        [
            f"The {thing.name} is {thing.size}.",
            f"There is nothing at the {rng.choice(empty)}.",
            f"In all there are {plural(len(scene.things), 'object')}.",
            f"At the {thing.cell} there is {with_article(thing.full_name)}.",
        ]
    )


def _scene_document(rng: Random) -> str:
    scene = draw_scene(rng)
    # What a scene holds is drawn, and teaches nothing; the statements that follow from it do.
    told = scene_statements(rng, scene)[: rng.randint(7, 10)]
    if rng.random() < 0.3:
        opening = rng.choice(["The scene:", "The objects of the scene:", "A picture of"])
        return f"{opening}\n{as_list(scene)}\n{' '.join(told)}"
    opening = rng.choice(
        ["The scene: {}.", "The scene: {}.", "The scene shows {}.", "In the scene there is {}."]
    ).format(as_prose(scene))
    if rng.random() < 0.3:
        return f"{opening}\n" + "\n".join(f"- {sentence}" for sentence in told)
    return " ".join([opening, *told])


def _number_list_document(rng: Random) -> str:
    numbers = draw_numbers(rng)
    found = [
        say.state_sorted_numbers(numbers),
        say.state_sorted_numbers(numbers, downwards=True),
        say.state_pick("smallest", numbers),
        say.state_pick("largest", numbers),
        say.state_reversed([str(n) for n in numbers]),
        say.state_larger(*rng.sample(numbers, 2), smaller=rng.random() < 0.5),
    ]
    opening = _list_opening(rng, [str(n) for n in numbers])
    return _told(rng, opening, rng.sample(found, rng.randint(5, 6)))


def _word_list_document(rng: Random) -> str:
    words = draw_words(rng)
    found = [
        say.state_sorted_words(words),
        say.state_reversed(words),
        say.state_pick("first", words),
        say.state_pick("last", words),
        say.state_category(rng.choice(words)),
        f"The list has {len(words)} words.",
    ]
    return _told(rng, _list_opening(rng, words), rng.sample(found, rng.randint(5, 6)))


def _list_opening(rng: Random, items: list[str]) -> str:
    opening = rng.choice(
        ["The list: {}.", "The list: {}.", "Written on a card: {}.", "On a wall: {}."]
    )
    return opening.format(say.listed(items))


def _sums_document(rng: Random) -> str:
    told = []
    for _ in range(rng.randint(4, 7)):
        a, b, minus = draw_sum(rng)
        told.append(say.state_sum(a, b, minus=minus))
        if rng.random() < 0.3:
            told.append(say.state_sum(a - b, b) if minus else say.state_sum(b, a))
        elif rng.random() < 0.15:
            told.append(f"{a} - {b} = {a - b}." if minus else f"{a} + {b} = {a + b}.")
    return _told(rng, rng.choice(["Some sums.", "From a book of sums.", "On numbers."]), told)


def _comparing_document(rng: Random) -> str:
    told = [
        say.state_larger(*draw_pair(rng), smaller=rng.random() < 0.5)
        for _ in range(rng.randint(3, 5))
    ]
    a, b = draw_pair(rng)
    told.append(f"{max(a, b)} is larger than {min(a, b)}.")
    return _told(rng, rng.choice(["Large and small.", "Comparing numbers.", "On numbers."]), told)


def _sequence_document(rng: Random) -> str:
    told = [say.state_next(draw_sequence(rng)) for _ in range(rng.randint(3, 5))]
    return _told(rng, rng.choice(["Numbers in steps.", "Counting on.", "On sequences."]), told)


def _category_document(rng: Random) -> str:
    told = [say.state_category(word) for word in rng.sample(WORDS, rng.randint(2, 4))]
    for _ in range(rng.randint(1, 3)):
        words, odd = draw_odd_one(rng)
        told.append(say.state_odd_one(words, odd))
    category = rng.choice(sorted(CATEGORIES))
    names = [with_article(word) for word in rng.sample(CATEGORIES[category], 3)]
    told.append(f"{joined(names).capitalize()} are each {with_article(category)}.")
    rng.shuffle(told)
    return _told(rng, rng.choice(["Words and things.", "On words.", "What things are."]), told)


def _town_document(rng: Random) -> str:
    town = TOWNS[rng.choice(list(TOWNS))]
    here = [person for person in PEOPLE.values() if person.town == town.name]
    found = [
        say.state_known_for(town.name),
        say.state_river(town.name),
        f"{town.name} is a town in {town.country}.",
        f"{town.name} has {town.thousands} thousand people.",
        f"It was founded in the year {town.founded}.",
        say.state_more_people(*_two_towns(rng, town.name)),
        say.state_more_people(*_two_towns(rng, town.name)),
        *[
            f"{person.name}, {with_article(person.trade)}, was born in {town.name}."
            for person in here
        ],
    ]
    if town.is_capital:
        found.append(say.state_capital(town.country))
    return _told(rng, f"{town.name}.", rng.sample(found, min(len(found), rng.randint(4, 6))))


def _two_towns(rng: Random, name: str) -> list[str]:
    other = rng.choice([town for town in TOWNS if town != name])
    return rng.sample([name, other], 2)


def _country_document(rng: Random) -> str:
    country = COUNTRIES[rng.choice(list(COUNTRIES))]
    found = [
        say.state_capital(country.name),
        f"Its towns are {country.capital} and {country.other_town}.",
        f"The {country.river} is the river of {country.name}.",
        say.state_known_for(country.capital),
        say.state_known_for(country.other_town),
        say.state_river(rng.choice([country.capital, country.other_town])),
        f"{country.capital} is the capital of {country.name}.",
    ]
    return _told(rng, f"{country.name} is a country.", rng.sample(found, rng.randint(4, 6)))


def _told(rng: Random, opening: str, sentences: list[str]) -> str:
    if rng.random() < 0.25:
        return f"{opening}\n" + "\n".join(f"- {sentence}" for sentence in sentences)
    return " ".join([opening, *sentences])


Writer = Callable[[Random], str]
_SHARES: dict[Writer, int] = {
    _scene_document: 40,
    _number_list_document: 13,
    _word_list_document: 12,
    _sums_document: 11,
    _comparing_document: 3,
    _sequence_document: 4,
    _category_document: 5,
    _town_document: 7,
    _country_document: 3,
    draw_narrative: 4,
}
_WRITERS, _WEIGHTS = list(_SHARES), list(_SHARES.values())
