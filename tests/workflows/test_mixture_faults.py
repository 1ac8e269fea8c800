"""What is refused in a mixture, what is shown of it, and the mixtures that ship."""

from pathlib import Path
from typing import Any

import pytest
from mixture_worlds import BAD, ROWS, SHIPPED, Row, World
from tiny_runs import train

from mmtune.cli import main
from mmtune.config.mixtures import Mixture, load_mixture
from mmtune.errors import ConfigError, DataError
from mmtune.workflows.reading_cards import Places, open_mixture


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def three(world: World) -> World:
    for card in ("rte", "sst2", "gsm8k"):
        world.write(card)
    return world


def fault(world: World, recipe: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert train(recipe) == 2
    return capsys.readouterr().err


def test_a_mixture_stands_alone(three: World, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = three.recipe("a", three.mixture(), data__path="rows.jsonl")
    assert "data.mixture stands alone" in fault(three, recipe, capsys)


@pytest.mark.parametrize(
    ("keys", "paths", "told"),
    [
        ({}, {"rta": "x"}, "data.card_paths: there is no card 'rta'; did you mean 'rte'?"),
        ({"cards": ["rte", "gsm9k"]}, {}, "mixture small: there is no card 'gsm9k'; did you mean"),
        ({"leave_out": ["xsumm"]}, {}, "mixture small: there is no card 'xsumm'"),
        ({"hold_out": ["nli", "sentiment", "cot"]}, {}, "no card is left to train on"),
        ({"templates": "nobody"}, {}, "card rte: templates: no template 'nobody'; there are: rte/"),
        (
            {"rule": {"kind": "fixed", "weights": {"flan": 1.0}}},
            {},
            "mixture small: rule: 'gsm8k' has no weight",
        ),
        ({"cards": ["rte", "newsroom"]}, {}, "card newsroom: no hub data set serves these rows"),
        ({"cards": []}, {}, "small.yaml: give cards or collections"),
    ],
)
def test_what_is_wrong_with_a_mixture_is_told(
    three: World, keys: Row, paths: Row, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = three.recipe("a", three.mixture(**keys), data__card_paths=three.rows | paths)
    assert told in fault(three, recipe, capsys)


def test_a_mixture_without_a_usable_row_says_so(world: World) -> None:
    world.write("sst2", [])
    with pytest.raises(DataError, match="no row|no card has a usable row"):
        world.opened(world.mixture())
    world.write("sst2", [*ROWS["sst2"][:200], BAD[0]])
    with pytest.raises(DataError, match="no card has a usable row.*label_out_of_range"):
        world.opened(world.mixture())


def test_the_preview_sets_what_is_drawn_beside_what_is_meant(
    three: World, capsys: pytest.CaptureFixture[str]
) -> None:
    mixture = three.mixture(examples_per_epoch=400, hold_out=["nli"])
    recipe = three.recipe("a", mixture)
    assert main(["preview", str(recipe), "--rows", "1"]) == 0
    told = capsys.readouterr().out
    assert "not rte: its cluster nli is held out" in told
    table = [line.split() for line in told[told.index("small: 400 draws an epoch") :].splitlines()]
    rows = {row[0]: row[1:] for row in table if len(row) == 8}
    assert set(rows) >= {"cot", "gsm8k", "sentiment", "sst2", "all"} and "rte" not in rows
    counts = three.opened(mixture).drawing.counts(0, 400)
    for name, count, size in zip(("gsm8k", "sst2"), counts, (40, 30), strict=True):
        assert rows[name][:3] == [str(size), "10", f"{count / size:.2f}"]
        assert rows[name][3:6] == [f"{size / 70:.2%}", f"{count / 400:.2%}", str(count)]
    assert rows["all"][3:] == ["100.00%", "100.00%", "400", "100.00%"]
    assert main(["check", str(recipe)]) == 0
    assert "sst2: " in capsys.readouterr().out and not (three.folder / "a" / "run").exists()


# What ships.


MIXTURES = sorted((SHIPPED / "mixtures").glob("*.yaml"))


@pytest.mark.parametrize("path", MIXTURES, ids=lambda path: path.stem)
def test_a_shipped_mixture_has_its_cards_and_templates(path: Path, tmp_path: Path) -> None:
    mixture = load_mixture(path)
    assert mixture.name == path.stem
    places = Places(SHIPPED / "cards", SHIPPED / "templates", {}, tmp_path)
    try:
        open_mixture(mixture, places, seed=0, watch=refuse)
    except ConfigError as error:  # all faults are cards that no hub data set serves
        assert all("no hub data set serves these rows" in line for line in error.faults)
        assert path.stem not in ("flan_from_hub", "t0")
    except Reading:
        assert path.stem in ("flan_from_hub", "t0")


class Reading(Exception):
    """Everything was in order, and rows were about to be read."""


def refuse(_rows: object) -> Any:
    raise Reading


def test_shipped_mixtures_have_the_numbers_of_their_papers() -> None:
    """Wei et al. 2021, section 2.1; T0's code; Chung et al. 2022, table 2; FLAN v2's code."""
    by_name: dict[str, Mixture] = {path.stem: load_mixture(path) for path in MIXTURES}
    flan, t0 = by_name["flan"], by_name["t0"]
    assert (flan.cap.examples, flan.rule.model_dump()) == (
        30_000, {"kind": "proportional", "maximum": 3_000}
    )  # fmt: skip
    assert t0.rule.model_dump() == {"kind": "per_template", "most_examples": 500_000}
    assert t0.cap.examples > 3_803_957  # Gigaword, the largest: nothing is capped but weights
    collection = by_name["flan2022"]
    assert collection.rule.model_dump()["weights"] == {"flan": 0.4, "t0_train": 0.32, "cot": 0.05}
    assert collection.cap.by_collection == {"flan": 30_000, "t0_train": 20_000, "cot": 100_000}
    muffin = by_name["muffin_plus_cot"]
    assert muffin.rule.model_dump()["weights"] == {"flan": 52, "cot": 3}


def test_t0_trains_on_no_task_that_it_holds_out() -> None:
    from mmtune.config.cards import load_cards

    cards = load_cards(SHIPPED / "cards").values()
    held_out = {(c.cluster, c.subcluster) for c in cards if "t0_held_out" in c.collections}
    trained = {(c.cluster, c.subcluster) for c in cards if "t0_train" in c.collections}
    assert held_out == {
        ("nli", ""), ("coreference", ""), ("commonsense", ""), ("misc", "word_disambiguation")
    }  # fmt: skip
    assert not held_out & trained
