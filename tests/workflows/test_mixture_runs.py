"""Whole runs over mixtures: shares, stops, ranks, what is held out, and every row accounted for."""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from many_ranks import in_forks
from mixture_worlds import BAD, FORMATS, ROWS, SHIPPED, Row, World, of_store, streaming
from tiny import tiny_tokenizer
from tiny_runs import in_fork, metrics, train, weights_hash

from mmtune.config.load import load_recipe
from mmtune.config.recipe import Recipe
from mmtune.encoding.store import TokenStore, open_store
from mmtune.training import loop
from mmtune.workflows import steps
from mmtune.workflows.dataset import Accounts, open_data, training_rows


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def three(world: World) -> World:
    for card in ("rte", "sst2", "gsm8k"):
        world.write(card)
    return world


def texts(store: TokenStore) -> list[str]:
    """Every sample as the model sees it."""
    tokenizer = tiny_tokenizer()
    samples = (store.sample(number) for number in range(len(store)))
    return [tokenizer.decode(sample.ids, skip_special_tokens=False) for sample in samples]


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "proportional", "maximum": 30},
        {"kind": "temperature", "temperature": 2},
        {"kind": "per_template", "most_examples": 50},
        {"kind": "fixed", "weights": {"nli": 0.5, "sst2": 0.3, "cot": 0.2}},
    ],
    ids=lambda rule: rule["kind"],
)
def test_the_store_that_is_trained_on_has_the_shares_of_the_rule(three: World, rule: Row) -> None:
    mixture = three.mixture(rule=rule, examples_per_epoch=600)
    assert train(three.recipe("a", mixture)) == 0
    store = open_store(three.folder / "a" / "run" / "encoded" / "train")
    assert len(store) == 600 and len(metrics(three.folder / "a" / "run")) == 6
    drawn = Counter(store.sources[number] for number in store.source_numbers.tolist())
    for name, share in three.opened(mixture).shares.items():
        error = (share * (1 - share) * 600) ** 0.5
        assert abs(drawn[name] - share * 600) < 4 * error, name


def test_a_streamed_epoch_has_the_draws_of_one_that_is_not(three: World) -> None:
    """13 steps whole; 5, 5 and 4 of three windows."""
    mixture = three.mixture(formats=FORMATS, examples_per_epoch=100)
    recipe = three.recipe("whole", mixture, train__max_steps=13)
    whole = samples_trained_on(recipe)
    recipe = three.recipe("stream", mixture, train__max_steps=14, **streaming())
    assert samples_trained_on(recipe) == whole
    assert len(whole) == 100 and set(whole.values()) == {1}


def samples_trained_on(recipe: Path) -> Counter[str]:
    """Train, noting every sample that a step takes: its name and its text."""
    real, tokenizer, seen = steps._input, tiny_tokenizer(), Counter[str]()

    def watched(feed: Any, store: Any, planned: Any, *more: Any) -> Any:
        for number in planned.samples.tolist():
            sample = store.sample(number)
            seen[f"{sample.example_id}: {tokenizer.decode(sample.ids)}"] += 1
        return real(feed, store, planned, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "_input", watched)
        assert train(recipe) == 0
    return seen


@pytest.mark.parametrize("more", [{}, streaming()], ids=["whole", "streamed"])
def test_a_run_stopped_in_mid_epoch_goes_on_to_the_same_weights(
    three: World, more: dict[str, Any]
) -> None:
    """13 steps an epoch of 100 draws; a window has 5 of them. Stopped in the second epoch."""
    mixture = three.mixture(formats=FORMATS, options="varied", examples_per_epoch=100)
    settings = {"train__max_steps": 24, "train__save_every_steps": 50, "train__resume": "auto"}
    paths = [three.recipe(name, mixture, **settings, **more) for name in ("whole", "stopped")]
    assert in_fork(lambda: train(paths[0])) == 0
    stopped = three.folder / "stopped" / "run"
    assert in_fork(lambda: stopped_at(17, paths[1])) == 75
    assert len(metrics(stopped)) == 17
    assert in_fork(lambda: train(paths[1])) == 0
    assert weights_hash(stopped) == weights_hash(three.folder / "whole" / "run")
    assert [row["step"] for row in metrics(stopped)] == list(range(1, 25))
    whole = metrics(three.folder / "whole" / "run")
    assert [row["loss"] for row in metrics(stopped)] == [row["loss"] for row in whole]
    assert whole[0]["loss"] > whole[-1]["loss"]


def stopped_at(step: int, recipe: Path) -> int:
    real = loop._seed_dropout

    def watched(seed: int, now: int, batch: Any) -> Any:
        if now == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(seed, now, batch)

    loop._seed_dropout = watched
    return train(recipe)


@pytest.mark.parametrize("more", [{}, streaming()], ids=["whole", "streamed"])
def test_two_ranks_train_on_the_same_steps_as_one(three: World, more: dict[str, Any]) -> None:
    mixture = three.mixture(formats=FORMATS, examples_per_epoch=100)
    found = []
    for ranks in (1, 2):
        recipe = three.recipe(f"r{ranks}", mixture, train__max_steps=14, **more)
        assert in_forks(ranks, recipe) == [0] * ranks
        rows = metrics(three.folder / f"r{ranks}" / "run")
        found.append([(row["step"], row["num_targets"]) for row in rows])
        losses = [row["loss"] for row in rows]
        if ranks == 1:
            alone = losses
    assert found[0] == found[1]
    assert losses == pytest.approx(alone, rel=1e-3)


@pytest.mark.parametrize("more", [{}, streaming()], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("law", "mixture small: 100 draws an epoch of 3 cards, sha256"),
        ("rows", " sst2: "),
        ("templates", "templates: "),
    ],
)
def test_a_run_does_not_go_on_over_a_mixture_that_changed(
    three: World,
    change: str,
    told: str,
    more: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The recipe is the same to the letter: it only names the files."""
    templates = tmp_path / "templates"
    templates.mkdir()
    for card in three.rows:
        (templates / f"{card}.yaml").write_text(
            (SHIPPED / "templates" / f"{card}.yaml").read_text()
        )
    mixture = three.mixture(examples_per_epoch=100)
    settings = {"train__resume": "auto", "data__templates": str(templates)} | more
    recipe = three.recipe("a", mixture, **settings)
    assert in_fork(lambda: stopped_at(3, recipe)) == 75
    if change == "law":
        three.mixture(examples_per_epoch=100, rule={"kind": "temperature", "temperature": 5})
    elif change == "rows":
        three.write("sst2", [row | {"sentence": "Another."} for row in ROWS["sst2"]])
    else:
        path = templates / "sst2.yaml"
        path.write_text(path.read_text().replace("{{ sentence }}", "so: {{ sentence }}"))
    capsys.readouterr()
    assert train(recipe) == 2
    line = capsys.readouterr().err
    assert told in line and "when the run began; now" in line


# What is kept away.


CLUSTERS = {
    "nli": ("rte", "snli", "mrpc", "esnli"),
    "paraphrase": ("mrpc", "rte", "snli"),
    "reading_comprehension_commonsense": ("cosmos_qa",),
    "commonsense": ("cosmos_qa",),
    "cot": ("gsm8k", "esnli", "snli"),
}
"""Cluster -> cards here that may not be trained on when it is held out: of it, telling of it, or
siblings of one of it (esnli has snli's rows)."""


@pytest.mark.parametrize("held_out", CLUSTERS)
def test_no_text_of_a_card_that_is_held_out_or_tells_of_it_is_trained_on(
    world: World, held_out: str
) -> None:
    for card in ROWS:
        marked = [
            {k: f"{v} mark-{card}-end" if isinstance(v, str) else v for k, v in row.items()}
            for row in ROWS[card]
        ]
        world.write(card, marked)
    mixture = world.mixture(
        hold_out=[held_out], formats={"few_shot": 0.5, "inverted": 0.3}, examples_per_epoch=400
    )
    recipe = world.recipe("a", mixture, train__max_steps=1)  # fmt: skip
    assert train(recipe) == 0
    everything = "\n".join(texts(open_store(world.folder / "a" / "run" / "encoded" / "train")))
    found = {card for card in ROWS if f"mark-{card}-end" in everything}
    assert found == set(ROWS) - set(CLUSTERS[held_out])


def test_rows_that_dev_fraction_holds_out_are_neither_learnt_nor_shown(three: World) -> None:
    """Nor are they exemplars before another question."""
    mixture = three.mixture(formats={"few_shot": 1.0}, examples_per_epoch=400)
    recipe = three.recipe("a", mixture, data__dev_fraction=0.3, train__max_steps=1)  # fmt: skip
    assert train(recipe) == 0
    encoded = three.folder / "a" / "run" / "encoded"
    dev, learnt = open_store(encoded / "dev-0"), open_store(encoded / "train")
    held_out = {dev.example_id(n).partition("#")[0] for n in range(len(dev))}
    trained = {learnt.example_id(n).partition("#")[0] for n in range(len(learnt))}
    assert 80 < len(dev) < 160 and len(dev) + len(learnt) == 400
    assert not held_out & trained
    read = three.opened(mixture, held_out=0.3)
    films = {row.fields["sentence"] for row in of_store(read, "sst2") if row.id in held_out}
    everything = "\n".join(texts(learnt))
    assert len(films) > 5 and not [film for film in films if film in everything]
    assert any(film in "\n".join(texts(dev)) for film in films)


# Every row accounted for.


def test_bad_rows_of_cards_stand_in_the_ledger_and_all_are_counted(three: World) -> None:
    rows = [*ROWS["sst2"], *BAD]
    path = three.write("sst2", rows)
    for name, more in (("whole", {}), ("stream", streaming())):
        mixture = three.mixture(examples_per_epoch=90)
        recipe = three.recipe(name, mixture, data__max_bad_rows_fraction=0.2, **more)
        assert train(recipe) == 0
        folder = three.folder / name / "run"
        lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
        told = {line["where"]: line["reason"] for line in lines if line["source"] == "sst2/train"}
        assert told == {
            f"{path.name}:231": "label_out_of_range",
            f"{path.name}:232": "empty_field",
            f"{path.name}:233": "unlabelled",
            f"{path.name}:234": "not_an_object",
        }, name
    opened = load_recipe(three.folder / "whole" / "recipe.yaml")
    accounts = accounts_of(opened, three.folder / "again")
    assert accounts.of("sst2/train").seen == 34 == len(rows) - 200
    assert accounts.of("sst2/train").kept == 30
    assert accounts.of("sst2/train").bad == 3
    assert sum(accounts.of(name).seen for name in ("rte", "sst2", "gsm8k")) == 90


def accounts_of(recipe: Recipe, folder: Path) -> Accounts:
    accounts = Accounts()
    for _ in training_rows(open_data(recipe, folder), recipe, accounts):
        pass
    return accounts


def test_too_many_bad_rows_of_a_card_stop_the_run_but_not_those_left_out_on_purpose(
    three: World, capsys: pytest.CaptureFixture[str]
) -> None:
    three.write("sst2", [*ROWS["sst2"], *({"sentence": "s", "label": -1} for _ in range(500))])
    assert train(three.recipe("hidden", three.mixture())) == 0
    three.write("sst2", [*ROWS["sst2"], *BAD])
    capsys.readouterr()
    for more in ({}, streaming()):
        assert train(three.recipe("bad", three.mixture(), **more)) == 2
        told = capsys.readouterr().err
        assert "sst2/train: 3 of 33 rows cannot be used" in told and "sst2.jsonl:231" in told


def test_a_draw_that_cannot_be_phrased_is_told_with_its_row(three: World, tmp_path: Path) -> None:
    """A template whose Jinja fails on some rows only."""
    templates = tmp_path / "templates"
    templates.mkdir()
    for card in ("rte", "gsm8k"):
        (templates / f"{card}.yaml").write_text(
            (SHIPPED / "templates" / f"{card}.yaml").read_text()
        )
    ask = "{% if sentence == 'A film 207.' %}{{ 1 // 0 }}{% endif %}Judge: {{ sentence }}"
    (templates / "sst2.yaml").write_text(
        yaml.safe_dump({"task": "sst2", "templates": [{"name": "judge", "ask": ask}]})
    )
    mixture = three.mixture(examples_per_epoch=300, formats={"few_shot": 0.5})
    recipe = three.recipe(
        "a", mixture, data__templates=str(templates), data__max_bad_rows_fraction=0.2
    )
    assert train(recipe) == 0
    ledger = (three.folder / "a" / "run" / "ledger.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in ledger]
    assert lines and {(x["source"], x["where"], x["reason"]) for x in lines} == {
        ("sst2", "sst2.jsonl:208", "unphrasable")
    }
    assert "template 'sst2/judge'" in lines[0]["detail"]
    accounts = accounts_of(load_recipe(recipe), three.folder / "again")
    assert accounts.of("sst2").by_reason == {"unphrasable": len(lines)}
    assert sum(accounts.of(name).seen for name in ("rte", "sst2", "gsm8k")) == 300
