"""Quizzes that only the atlas answers: their fields do not hold the answer, memory does."""

from random import Random

from mmtune.pocket.gazetteer import COUNTRIES, PRODUCTS, RIVERS, TOWNS
from mmtune.pocket.quiz import Quiz, among


def capital(rng: Random) -> Quiz:
    """Among other towns; the country's other town may be one of them."""
    country = COUNTRIES[rng.choice(list(COUNTRIES))]
    others = [town for town in TOWNS if town != country.capital]
    return among(rng, {"country": country.name}, country.capital, rng.sample(others, 3))


def known_for(rng: Random) -> Quiz:
    town = TOWNS[rng.choice(list(TOWNS))]
    others = [product for product in PRODUCTS if product != town.product]
    return among(rng, {"town": town.name}, town.product, rng.sample(others, 3))


def river(rng: Random) -> Quiz:
    town = TOWNS[rng.choice(list(TOWNS))]
    others = [f"the {river}" for river in RIVERS if river != town.river]
    return among(rng, {"town": town.name}, f"the {town.river}", rng.sample(others, 3))


def more_people(rng: Random) -> Quiz:
    """Which of two towns has more people; by at least ten thousand."""
    one, other = rng.sample(list(TOWNS.values()), 2)
    while abs(one.thousands - other.thousands) < 10:
        one, other = rng.sample(list(TOWNS.values()), 2)
    fewer, more = sorted((one, other), key=lambda town: town.thousands)
    return among(rng, {"first": one.name, "second": other.name}, more.name, [fewer.name])
