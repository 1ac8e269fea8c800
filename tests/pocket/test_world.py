from random import Random

import pytest

from mmtune.pocket import world
from mmtune.pocket.gazetteer import COUNTRIES, PEOPLE, TOWNS


@pytest.mark.parametrize("seed", range(50))
def test_no_two_things_share_a_cell_or_a_name(seed: int) -> None:
    scene = world.draw_scene(Random(seed))
    assert 2 <= len(scene.things) <= 5
    assert len({thing.cell for thing in scene.things}) == len(scene.things)
    assert len({thing.name for thing in scene.things}) == len(scene.things)


@pytest.mark.parametrize("seed", range(50))
def test_a_scene_survives_its_facts(seed: int) -> None:
    scene = world.draw_scene(Random(seed))
    assert world.Scene.from_facts(scene.to_facts()) == scene


def test_neighbours_are_found_on_the_side_that_is_named() -> None:
    left = world.Thing("small", "red", "star", "middle left")
    middle = world.Thing("small", "blue", "star", "center")
    top = world.Thing("large", "blue", "heart", "top middle")
    scene = world.Scene((left, middle, top))
    assert world.thing_beside(scene, middle, "left of") == left
    assert world.thing_beside(scene, left, "right of") == middle
    assert world.thing_beside(scene, middle, "above") == top
    assert world.thing_beside(scene, top, "below") == middle
    assert world.thing_beside(scene, top, "above") is None
    assert len(world.neighbours(scene)) == 4


def test_a_row_does_not_end_beside_the_start_of_the_next() -> None:
    right = world.Thing("small", "red", "star", "top right")
    next_row = world.Thing("small", "blue", "star", "middle left")
    assert world.neighbours(world.Scene((right, next_row))) == []


def test_the_atlas_has_enough_entities_and_towns_of_different_size() -> None:
    assert len(COUNTRIES) + len(TOWNS) + len(PEOPLE) >= 60
    assert len({town.thousands for town in TOWNS.values()}) == len(TOWNS)
    assert len({town.product for town in TOWNS.values()}) == len(TOWNS)
    for country in COUNTRIES.values():
        assert TOWNS[country.capital].is_capital
        assert TOWNS[country.capital].country == country.name


def test_the_atlas_is_the_one_that_the_shipped_model_learnt() -> None:
    tarnby = TOWNS["Tarnby"]
    assert (tarnby.country, tarnby.river, tarnby.product) == ("Velmora", "Ashel", _TARNBY_PRODUCT)
    assert sum(town.thousands * i for i, town in enumerate(TOWNS.values())) == _ATLAS_SUM


_TARNBY_PRODUCT = "mirrors"
_ATLAS_SUM = 22145
