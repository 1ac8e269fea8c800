"""A made-up atlas: countries, towns, rivers and people, with facts that never change.

A model can know these only from the corpus. All names are invented.
"""

from dataclasses import dataclass
from random import Random

_COUNTRIES = """Velmora Ostrani Karrund Tisbeck Lomaria Pendrel Hastova Quillon
Brunmark Sarvane Dolgath Mirrowen Fenlund Zaventa Orrick Ulmania""".split()
_TOWNS = """Tarnby Oskeld Wexmoor Pellow Drast Hulmen Corvik Nabel Lidden Storrow Yarm Bexa Kildun
Mostrel Farrin Gosk Jundale Prell Sunnet Torvay Ibsum Ruddle Wicken Ambrel Zell Dorna Hesk Lurvo
Cannic Ettrin Vosk Pamber""".split()
_RIVERS = """Ashel Brine Cullo Dwern Elmo Fosk Grell Hinn Irva Jost Kelm Loor Munda Nerrin Ovenne
Pulva""".split()
_PRODUCTS = """glass cheese honey bells boats clocks silk salt tea lamps paper drums bread ropes
roses carpets pottery candles pearls kites soap coffee marble wool olives swords maps violins
copper spices puppets mirrors""".split()
_PEOPLE = """Ora_Lind Tam_Berrow Ilse_Kern Joss_Vane Mara_Dell Pim_Oster Rea_Holt Sven_Quill
Una_Marsh Wim_Tarn Ada_Frost Bo_Linden Cleo_Rusk Dirk_Hale Eva_Stone Finn_Moss""".split()
_TRADES = "painter singer sailor doctor poet baker builder teacher".split()


@dataclass(frozen=True, slots=True)
class Town:
    """A town and all that is known of it; `thousands` of people live there."""

    name: str
    country: str
    river: str
    product: str
    thousands: int
    founded: int
    is_capital: bool


@dataclass(frozen=True, slots=True)
class Person:
    """A person of note."""

    name: str
    trade: str
    town: str


@dataclass(frozen=True, slots=True)
class Country:
    """A country of two towns on one river."""

    name: str
    capital: str
    other_town: str
    river: str


def _draw_towns(rng: Random) -> list[Town]:
    products = rng.sample(_PRODUCTS, len(_TOWNS))
    thousands = rng.sample(range(2, 98, 3), len(_TOWNS))
    return [
        Town(
            name=name,
            country=_COUNTRIES[i // 2],
            river=_RIVERS[i // 2],
            product=products[i],
            thousands=thousands[i],
            founded=rng.randint(100, 999),
            is_capital=i % 2 == 0,
        )
        for i, name in enumerate(_TOWNS)
    ]


# The seed is part of the atlas: the shipped model has learnt these facts by heart.
_RNG = Random("gazetteer-1")
TOWNS = {town.name: town for town in _draw_towns(_RNG)}
COUNTRIES = {
    name: Country(name, _TOWNS[2 * i], _TOWNS[2 * i + 1], _RIVERS[i])
    for i, name in enumerate(_COUNTRIES)
}
PEOPLE = {
    name.replace("_", " "): Person(name.replace("_", " "), _RNG.choice(_TRADES), town)
    for name, town in zip(_PEOPLE, _RNG.sample(_TOWNS, len(_PEOPLE)), strict=True)
}
RIVERS = tuple(_RIVERS)
PRODUCTS = tuple(_PRODUCTS)
