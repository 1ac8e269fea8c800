"""The arms of a study, what each is tuned on, and a study that goes on where it was stopped."""

import json
from pathlib import Path

import pytest

from mmtune.config.cards import load_cards
from mmtune.config.load import load_section
from mmtune.config.mixtures import load_mixture
from mmtune.config.study import FlanStudy
from mmtune.errors import ConfigError
from mmtune.templates.pool import load_pool
from mmtune.workflows import study as studies
from mmtune.workflows import zero_shot_tasks

ROOT = Path(__file__).resolve().parents[2]
CARDS = load_cards(ROOT / "datasets_cfg" / "pocket" / "cards")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlanStudy:
    monkeypatch.chdir(ROOT)
    return load_section(ROOT / "eval/suites/flan_study.yaml", [f"out={tmp_path}"], FlanStudy)


def test_clusters_are_added_one_after_the_other_and_none_is_held_out(study: FlanStudy) -> None:
    arms = list(studies.study_arms(study, CARDS))
    assert [arm.name for arm in arms if not arm.clusters] == ["base"]
    assert len(arms) == 1 + 5 * len(study.seeds)
    for seed in study.seeds:
        own = {arm.name: arm.clusters for arm in arms if arm.seed == seed and arm.clusters}
        assert not {*own["templates_6"]} & {*study.held_out}
        assert own["templates_2"] == own["templates_6"][:2]
        assert own["no_templates"] == own["templates_6"]
    assert len({arm.clusters for arm in arms if arm.name == "templates_6"}) == len(study.seeds)


def test_more_clusters_than_there_are_is_told(study: FlanStudy) -> None:
    with pytest.raises(ConfigError, match="found 7"):
        list(studies.study_arms(study.model_copy(update={"clusters": [7]}), CARDS))


def test_an_arm_is_tuned_on_its_clusters_alone(study: FlanStudy, tmp_path: Path) -> None:
    arm = next(a for a in studies.study_arms(study, CARDS) if a.name == "templates_2")
    recipe = studies.arm_recipe(study, arm, CARDS, tmp_path)
    mixture = load_mixture(Path(recipe.data.mixture))
    assert {CARDS[name].cluster for name in mixture.cards} == {*arm.clusters}
    assert mixture.hold_out == study.held_out
    assert recipe.data.templates == study.templates


def test_the_arm_without_templates_is_told_the_fields_and_nothing_else(
    study: FlanStudy, tmp_path: Path
) -> None:
    arm = next(a for a in studies.study_arms(study, CARDS) if a.name == "no_templates")
    recipe = studies.arm_recipe(study, arm, CARDS, tmp_path)
    pool = load_pool(Path(recipe.data.templates))
    assert {CARDS[name].cluster for name in pool.by_task} == {*arm.clusters}
    (bare,) = pool.of("color_at")
    assert (bare.ask, bare.answer) == ("{{ scene }}\n{{ cell }}", "{{ answer }}")


def test_all_arms_draw_as_many_examples(study: FlanStudy, tmp_path: Path) -> None:
    sizes = set()
    for arm in studies.study_arms(study, CARDS):
        if arm.clusters:
            recipe = studies.arm_recipe(study, arm, CARDS, tmp_path)
            mixture = load_mixture(Path(recipe.data.mixture))
            sizes.add((mixture.examples_per_epoch, recipe.train.epochs, recipe.train.batch))
    assert len(sizes) == 1


def test_a_finished_arm_is_not_run_again(
    study: FlanStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[str] = []
    monkeypatch.setattr(studies, "_tuned", lambda s, arm, c, o: tuned.append(arm.label) or {})
    monkeypatch.setattr(studies, "_asked", lambda s, arm, c, o: {})
    short = study.model_copy(update={"seeds": [0]})
    studies.run(short)
    first = list(tuned)
    studies.run(study.model_copy(update={"seeds": [0, 1]}))
    assert len(first) == 6
    assert tuned[6:] == [label.replace("seed_0", "seed_1") for label in first[1:]]
    results = json.loads((tmp_path / "study.json").read_text())
    assert len(results["arms"]) == 11
    with pytest.raises(ConfigError, match="other settings"):
        studies.run(study.model_copy(update={"examples": 7}))


def test_held_out_tasks_are_asked_from_all_their_splits_with_the_first_templates(
    study: FlanStudy,
) -> None:
    suite = studies._suite(study, CARDS, {"family": "text", "path": "pocket:lm"})
    card = CARDS["capital"]
    pool = zero_shot_tasks.pool_for(suite, [card])
    task = studies._questions(study, suite, zero_shot_tasks.gather(suite, card, pool))
    rows = study.held_out_rows
    assert len(task.test) == rows.train + rows.dev + rows.test
    assert len({example.source for example in task.test}) == 3
    assert [t.name for t in task.templates] == [
        t.name for t in pool.of("capital")[: study.templates_asked]
    ]
