"""A Study run: every arm tuned and asked, one after the other; results in `study.json`.

An arm that stands in the file is not run again, so a study that was stopped goes on.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from mmtune.config.cards import Card, load_cards
from mmtune.config.load import load_recipe
from mmtune.config.recipe import Recipe
from mmtune.config.study import FlanStudy
from mmtune.config.suite import ZeroShotSuite, zero_shot_suite
from mmtune.errors import ConfigError
from mmtune.evaluation.rank_classification import SCORES
from mmtune.evaluation.template_summary import TaskMarks
from mmtune.templates.draws import keyed_random
from mmtune.workflows import train
from mmtune.workflows.terminal import console
from mmtune.workflows.zero_shot import mark_task, open_bench
from mmtune.workflows.zero_shot_tasks import Task, gather, pool_for

RESULTS = "study.json"
_HEADLINE = "sum"


@dataclass(frozen=True, slots=True)
class Arm:
    """One model of the study; `clusters` are those it is tuned on, in the order of adding."""

    name: str
    seed: int = 0
    clusters: tuple[str, ...] = ()
    templates: bool = True

    @property
    def label(self) -> str:
        """Of its files: `templates_2-seed_0`."""
        return f"{self.name}-seed_{self.seed}" if self.clusters else self.name


def run(study: FlanStudy) -> Path:
    """Run the arms that are not done yet; returns the file of the results.

    Raises InputError where cards, templates or the recipe are wrong, or where the file holds the
    results of a study with other settings.
    """
    out = Path(study.out)
    cards = load_cards(Path(study.cards))
    arms = list(study_arms(study, cards))
    out.mkdir(parents=True, exist_ok=True)
    results = _results_so_far(study, out / RESULTS)
    done = {(found["name"], found["seed"]) for found in results["arms"]}
    for arm in arms:
        if (arm.name, arm.seed) in done:
            continue
        began = perf_counter()
        about = _tuned(study, arm, cards, out)
        tasks = _asked(study, arm, cards, out)
        seconds = round(perf_counter() - began, 1)
        results["arms"].append({**asdict(arm), **about, "seconds": seconds, "tasks": tasks})
        _write(results, out / RESULTS)
        console().print(f"arm {arm.label}: done in {seconds:.0f} s")
    return out / RESULTS


def study_arms(study: FlanStudy, cards: dict[str, Card]) -> Iterator[Arm]:
    """Seed after seed, so that a study that was stopped has whole seeds.

    Raises ConfigError where there are fewer clusters than an arm wants.
    """
    there = sorted({card.cluster for card in cards.values()} - {*study.held_out})
    if max(study.clusters) > len(there):
        raise ConfigError(
            f"clusters: found {max(study.clusters)}, but {study.cards} has {len(there)} clusters "
            f"that are not held out"
        )
    yield Arm("base")
    for seed in study.seeds:
        order = tuple(keyed_random(seed, "clusters").sample(there, len(there)))
        yield Arm("no_templates", seed, order[: max(study.clusters)], templates=False)
        for count in sorted(study.clusters):
            yield Arm(f"templates_{count}", seed, order[:count])


def arm_recipe(study: FlanStudy, arm: Arm, cards: dict[str, Card], out: Path) -> Recipe:
    """Write the arm's mixture (and its bare templates), and make its recipe."""
    chosen = [card for card in cards.values() if card.cluster in arm.clusters]
    mixture = out / "mixtures" / f"{arm.label}.yaml"
    _write(
        {
            "name": arm.label,
            "cards": [card.name for card in chosen],
            "hold_out": study.held_out,
            "turned_around": study.turned_around,
            "examples_per_epoch": study.examples,
        },
        mixture,
    )
    templates = Path(study.templates)
    if not arm.templates:
        templates = out / "no_templates"
        for card in chosen:
            _write(bare_templates(card), templates / f"{card.name}.yaml")
    values = {
        "data.mixture": mixture,
        "data.cards": study.cards,
        "data.templates": templates,
        "train.seed": arm.seed,
        "run.dir": out / "runs" / arm.label,
    }
    return load_recipe(Path(study.recipe), [f"{key}={value}" for key, value in values.items()])


def bare_templates(card: Card) -> dict[str, Any]:
    """Inputs and nothing else, a line each: the arm without instructions (section 4.2)."""
    ask = "\n".join(f"{{{{ {name} }}}}" for name in card.fields)
    return {"task": card.name, "templates": [{"name": "fields", "ask": ask}]}


def _tuned(study: FlanStudy, arm: Arm, cards: dict[str, Card], out: Path) -> dict[str, Any]:
    """Train the arm; says on how much. The untuned model is trained on nothing."""
    if not arm.clusters:
        return {"examples_drawn": 0}
    recipe = arm_recipe(study, arm, cards, out)
    shutil.rmtree(recipe.run.dir, ignore_errors=True)  # of a start that came to no result
    train.run(recipe)
    return {"examples_drawn": round(study.examples * recipe.train.epochs)}


def _asked(study: FlanStudy, arm: Arm, cards: dict[str, Card], out: Path) -> dict[str, Any]:
    """Every task's answers, right or wrong, by template and example."""
    recipe = load_recipe(Path(study.recipe), [f"run.dir={out}"])
    model = recipe.model.model_dump(mode="json")
    if arm.clusters:
        model = {"family": "text", "path": str(out / "runs" / arm.label / "final")}
    suite = _suite(study, cards, model)
    bench = open_bench(suite)
    pool = pool_for(suite, list(cards.values()))
    found = {}
    for card in cards.values():
        task = _questions(study, suite, gather(suite, card, pool))
        found[card.name] = _marks(task, mark_task(bench, task), card.cluster in study.held_out)
    return found


def _suite(study: FlanStudy, cards: dict[str, Card], model: dict[str, Any]) -> ZeroShotSuite:
    values = {"cards": study.cards, "templates": study.templates, "stop_token": study.stop_token}
    return zero_shot_suite({**values, "model": model, "limit": study.trained_rows})


def _questions(study: FlanStudy, suite: ZeroShotSuite, task: Task) -> Task:
    """The rows and templates that the study asks; the same for every arm and seed."""
    if task.card.cluster not in study.held_out:
        return replace(task, templates=task.templates[: study.trained_templates], dev=[])
    rows = study.held_out_rows
    pool = pool_for(suite, [task.card])
    test = []
    for split, limit in (("train", rows.train), ("dev", rows.dev), ("test", rows.test)):
        own = suite.model_copy(update={"split": split, "dev_split": "none", "limit": limit})
        test += gather(own, task.card, pool).test
    return replace(task, templates=task.templates[: study.templates_asked], test=test, dev=[])


def _marks(task: Task, marks: TaskMarks, held_out: bool) -> dict[str, Any]:
    """`subjects` says which answers hang together: questions about one town, with other options."""
    about = {example.where or example.id: example for example in task.test}
    right = {one.template: one.parts[_HEADLINE][:, 0].astype(int).tolist() for one in marks.test}
    groups = marks.test[0].groups
    if any(one.groups != groups for one in marks.test):
        raise ConfigError(f"card {task.card.name}: some questions fit no model; shorten them")
    return {
        "cluster": task.card.cluster,
        "held_out": held_out,
        "chance": marks.chance,
        "subjects": [_subject(about[group].fields) for group in groups],
        "right": right,
        "by_score": {
            score: sum(float(one.parts[score][:, 0].mean()) for one in marks.test) / len(right)
            for score in SCORES
        },
    }


def _subject(fields: Mapping[str, str]) -> str:
    return " | ".join(text for name, text in fields.items() if name != "answer")


def _results_so_far(study: FlanStudy, path: Path) -> dict[str, Any]:
    settings = study.model_dump(mode="json", exclude={"out", "seeds"})
    fresh: dict[str, Any] = {"kind": study.kind, "settings": settings, "arms": []}
    if not path.is_file():
        return fresh
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if results["settings"] != settings:
        raise ConfigError(f"{path}: holds a study with other settings; give another `out`")
    return results


def _write(values: Any, path: Path) -> None:
    """JSON, which is YAML too; put in place whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".new")
    whole.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    whole.replace(path)
