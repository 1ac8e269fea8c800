"""Whole runs over mixtures of small local cards: what is drawn, left out, resumed and refused."""

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from many_ranks import in_forks
from tiny import tiny_tokenizer
from tiny_runs import in_fork, make_model, metrics, train, weights_hash, write_recipe

from mmtune.config.load import load_recipe
from mmtune.config.mixtures import Mixture, load_mixture
from mmtune.config.recipe import Recipe
from mmtune.data.example_store import write_examples
from mmtune.encoding.store import TokenStore, open_store
from mmtune.errors import ConfigError, DataError
from mmtune.templates.options import HEADERS
from mmtune.training import loop
from mmtune.types import Dropped, Example
from mmtune.workflows.dataset import Accounts, open_data, training_rows
from mmtune.workflows.mixture import OpenedMixture
from mmtune.workflows.reading_cards import Places, open_mixture

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "datasets_cfg"
Row = dict[str, Any]

ROWS: dict[str, list[Row]] = {
    "rte": [
        {"sentence1": f"It is {n}.", "sentence2": f"So {n}?", "label": n % 2}
        for n in range(60)
    ],
    "mrpc": [{"sentence1": f"One {n}", "sentence2": f"or {n}", "label": n % 2} for n in range(40)],
    "sst2": [{"sentence": f"A film {n}.", "label": n % 2} for n in range(230)],
    "gsm8k": [
        {"question": f"{n}+1?", "answer": f"Add one to {n}.\n#### {n + 1}"} for n in range(240)
    ],
    "snli": [{"premise": f"P {n}", "hypothesis": f"H {n}", "label": n % 3} for n in range(9)],
    "esnli": [
        {"premise": f"P {n}", "hypothesis": f"H {n}", "label": n % 3, "explanation_1": f"E {n}"}
        for n in range(9)
    ],
    "cosmos_qa": [
        {"context": f"C {n}", "question": f"Q {n}?", "label": n % 4}
        | {f"answer{i}": f"a{i} {n}" for i in range(4)}
        for n in range(230)
    ],
}  # fmt: skip


class World:
    """Rows of shipped cards, a model, and recipes over mixtures of them, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = make_model(folder / "model", max_position_embeddings=2048)
        self.rows: dict[str, str] = {}
        self.cards = folder / "cards"  # a few of those that ship
        self.cards.mkdir()
        for name in (*ROWS, "imdb", "newsroom"):
            shutil.copy(SHIPPED / "cards" / f"{name}.yaml", self.cards)

    def write(self, card: str, rows: list[Row] | None = None) -> Path:
        path = self.folder / "rows" / f"{card}.jsonl"
        path.parent.mkdir(exist_ok=True)
        lines = ROWS[card] if rows is None else rows
        path.write_text("".join(json.dumps(row) + "\n" for row in lines))
        self.rows[card] = str(path)
        return path

    def mixture(self, name: str = "small", **keys: Any) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "cards": list(self.rows)} | keys))
        return path

    def recipe(self, name: str, mixture: Path, **changes: Any) -> Path:
        settings: dict[str, Any] = {
            "data": {
                "mixture": str(mixture),
                "cards": str(self.cards),
                "templates": str(SHIPPED / "templates"),
                "card_paths": self.rows,
                "max_tokens": 2048,
            },
            "train__batching": {"kind": "packed", "row_tokens": 2048},
            "train__batch": {"kind": "examples", "count": 8},
            "train__max_steps": 6,
        }
        return write_recipe(
            self.folder / name, self.model, Path("unused"), **settings | changes
        )  # fmt: skip

    def opened(self, mixture: Path, seed: int = 0, held_out: float = 0.0) -> OpenedMixture:
        places = Places(self.cards, SHIPPED / "templates", self.rows, self.folder / "read")
        return open_mixture(load_mixture(mixture), places, seed=seed, watch=iter, held_out=held_out)


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


def of_store(opened: OpenedMixture, card: str) -> list[Example]:
    store = opened.stores[card]
    return [store[number] for number in range(len(store))]


def said(rows: Iterator[Example | Dropped]) -> list[tuple[str, ...]]:
    return [
        (row.id, *(turn.text for turn in row.turns)) if isinstance(row, Example) else (row.detail,)
        for row in rows
    ]


# What is drawn.


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


def test_a_sample_comes_again_under_another_name_and_only_after_all_others(three: World) -> None:
    rows = list(three.opened(three.mixture(examples_per_epoch=600)).rows(0))
    ids = [row.id for row in rows if isinstance(row, Example)]
    assert len(ids) == len(set(ids)) == 600
    rte = [one for one in ids if one.startswith("rte/")]
    size = len({one.partition("#")[0] for one in rte})
    assert size == 55  # all that train[but every 12] leaves of 60
    assert [one.partition("#")[2] or "0" for one in rte] == [
        str(n // size) for n in range(len(rte))
    ]


def test_without_a_number_an_epoch_is_as_many_draws_as_there_are_examples(three: World) -> None:
    opened = three.opened(three.mixture(cap={"examples": 35, "by_collection": {"cot": 20}}))
    assert {part.name: part.size for part in opened.parts} == {"rte": 35, "sst2": 30, "gsm8k": 20}
    assert opened.rows_per_epoch == 85 == len(list(opened.rows(0)))


def test_rows_sorted_by_label_are_capped_from_all_over(world: World) -> None:
    rows = [{"text": f"Film {n}", "label": int(n >= 2000)} for n in range(4000)]
    world.write("imdb", rows)
    opened = world.opened(world.mixture(cap={"examples": 100}))
    kept = of_store(opened, "imdb")
    labels = Counter(row.fields["answer"] for row in kept)
    assert len(kept) == 100 and len(labels) == 2 and min(labels.values()) > 25
    numbers = [int(row.where.rpartition(":")[2]) for row in kept]
    assert numbers == sorted(numbers)


# The same from any place, on any rank.


FORMATS = {"few_shot": 0.3, "without_options": 0.4, "reasoned": 0.5, "inverted": 0.3}


@pytest.mark.parametrize("templates", ["random", "round_robin"])
@pytest.mark.parametrize("start", [1, 100, 257])
def test_a_start_from_the_middle_changes_nothing_that_follows(
    three: World, start: int, templates: str
) -> None:
    mixture = three.mixture(
        formats=FORMATS, options="varied", templates=templates, examples_per_epoch=300
    )
    whole = said(three.opened(mixture).rows(1))
    assert said(three.opened(mixture).rows(1, start)) == whole[start:]
    assert said(three.opened(mixture).rows(1, start, start + 20)) == whole[start : start + 20]
    assert whole != said(three.opened(mixture).rows(0))
    assert whole != said(three.opened(mixture, seed=1).rows(1))


def streaming(**more: Any) -> dict[str, Any]:
    return {"data__streaming": True, "data__window_rows": 37} | more


def test_a_streamed_epoch_has_the_draws_of_one_that_is_not(three: World) -> None:
    mixture = three.mixture(formats=FORMATS, examples_per_epoch=100)
    seen: dict[str, set[str]] = {}
    for name, more in (("whole", {}), ("stream", streaming())):
        recipe = three.recipe(name, mixture, train__max_steps=14, **more)
        seen[name] = set()
        found = samples_trained_on(recipe, seen[name])
        assert found == 0
    assert len(seen["whole"]) == 100
    assert seen["stream"] == seen["whole"]


def samples_trained_on(recipe: Path, seen: set[str]) -> int:
    """Train, noting the text of every sample of the first epoch."""
    from mmtune.workflows import steps

    real, tokenizer = steps._batch, tiny_tokenizer()

    def watched(feed: Any, store: Any, planned: Any, row: Any) -> Any:
        if planned.epoch == 0 and row is not None:
            for number in row.tolist():
                sample = store.sample(number)
                seen.add(f"{sample.example_id}: {tokenizer.decode(sample.ids)}")
        return real(feed, store, planned, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "_batch", watched)
        return train(recipe)


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
        keys = ("step", "num_targets", "tokens", "source_share")
        found.append([[row.get(key) for key in keys] for row in rows])
        losses = [row["loss"] for row in rows]
        if ranks == 1:
            alone = losses
    assert found[0] == found[1]
    assert losses == pytest.approx(alone, rel=1e-3)


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


# Formats.


def rendered(world: World, count: int = 1500, **keys: Any) -> list[Example]:
    mixture = world.mixture(examples_per_epoch=count, turned_around=False, **keys)
    return [row for row in world.opened(mixture).rows(0) if isinstance(row, Example)]


def about(found: int, share: float, count: int) -> bool:
    return abs(found - share * count) <= 4 * (share * (1 - share) * count) ** 0.5


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_few_shot_prompts_are_the_stated_part(world: World, share: float) -> None:
    world.write("sst2")
    rows = rendered(world, formats={"few_shot": share, "exemplars": 3})
    films = [row.turns[0].text.count("A film ") for row in rows]
    assert set(films) <= {1, 4}
    assert about(films.count(4), share, len(rows))
    for row in rows[:50]:  # the question stands last, and none of the others is the same
        *shown, asked = (piece.split(".")[0] for piece in row.turns[0].text.split("A film ")[1:])
        assert asked not in shown and f"A film {asked}." in row.turns[0].text


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_rationales_are_the_stated_part_of_answers(world: World, share: float) -> None:
    world.write("gsm8k")
    rows = rendered(world, formats={"reasoned": share})
    shown = [row for row in rows if "Add one to" in row.turns[-1].text]
    bare = [row for row in rows if row.turns[-1].text.strip().isdigit()]
    own = share_that_reasons_anyway(world)
    assert about(len(shown), own + (1 - own) * share, len(rows))
    assert bool(bare) == (share < 1)


def share_that_reasons_anyway(world: World) -> float:
    """The part of the card's own templates that ask for the rationale."""
    templates = world.opened(world.mixture(turned_around=False)).pool.of("gsm8k")
    return sum(bool({"rationale", "reasoned"} & t.names) for t in templates) / len(templates)


def test_inverted_tasks_are_the_stated_part_of_what_has_a_rationale(world: World) -> None:
    for card in ("gsm8k", "sst2", "esnli"):
        world.write(card)
    rows = rendered(world, formats={"inverted": 0.4})
    inverted = [r for r in rows if r.source == "gsm8k" and is_inverted(r)]
    assert about(len(inverted), 0.4, sum(row.source == "gsm8k" for row in rows))
    kinds = {asked_for(row) for row in inverted}
    assert kinds == {"question", "rationale", "both"}
    others = [row for row in rows if row.source == "sst2"]
    assert {row.turns[-1].text for row in others} <= {"positive", "negative"}


def asked_for(row: Example) -> str:
    answer = row.turns[-1].text
    question, rationale = "+1?" in answer, "Add one to" in answer
    return "both" if question and rationale else "question" if question else "rationale"


def is_inverted(row: Example) -> bool:
    """The question is asked for, or the answer is given away."""
    asked, answered = row.turns[0].text, row.turns[-1].text
    return "+1?" in answered or "right answer is" in asked or "(missing)" in asked


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_options_are_left_out_of_the_stated_part(world: World, share: float) -> None:
    world.write("rte")
    rows = rendered(world, formats={"without_options": share})
    templates = world.opened(world.mixture(turned_around=False)).pool.of("rte")
    showing = sum(t.shows_options for t in templates) / len(templates)
    shown = sum(HEADERS[0] in row.turns[0].text for row in rows)
    assert about(shown, showing * (1 - share), len(rows)) and {"yes", "no"} >= {
        row.turns[-1].text for row in rows
    }


# Every row accounted for.


BAD: list[Any] = [
    {"sentence": "fine", "label": 7},
    {"sentence": "", "label": 1},
    {"sentence": "hidden", "label": -1},
    "not an object",
]


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


# What is refused.


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
    line = fault(three, recipe, capsys)
    assert told in line and "when the run began; now" in line


def test_files_that_were_only_touched_are_the_same(three: World) -> None:
    mixture = three.mixture(examples_per_epoch=100)
    before = three.opened(mixture)
    os.utime(three.rows["sst2"], (1, 1))
    after = three.opened(mixture)
    assert after.facts() == before.facts() and after.key == before.key
    assert three.opened(mixture, seed=1).key != before.key


def test_cards_are_read_once(three: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = three.mixture()
    three.opened(mixture)
    monkeypatch.setattr("mmtune.workflows.reading_cards.write_examples", None)
    three.opened(mixture)
    monkeypatch.setattr("mmtune.workflows.reading_cards.write_examples", write_examples)
    assert three.opened(three.mixture(cap={"examples": 5})).rows_per_epoch == 15


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
