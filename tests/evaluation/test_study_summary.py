import pytest

from mmtune.evaluation.study_summary import ALL, summarise


def task(right: list[int], *, cluster: str = "far", held_out: bool = True) -> dict:
    subjects = [f"subject {number // 2}" for number in range(len(right))]
    return {
        "cluster": cluster,
        "held_out": held_out,
        "chance": 0.5,
        "subjects": subjects,
        "right": {"a": right, "b": right},
    }


def arm(name: str, seed: int, right: list[int], clusters: tuple[str, ...] = ()) -> dict:
    tasks = {"one": task(right), "two": task(right[::-1]), "near": task([1], cluster="near")}
    tasks["near"]["held_out"] = False
    return {"name": name, "seed": seed, "clusters": list(clusters), "tasks": tasks}


def study(better: list[int]) -> dict:
    runs = [arm("base", 0, [0, 1] * 10)]
    for seed in (0, 1):
        runs.append(arm("no_templates", seed, [0, 1] * 10, ("near",)))
        runs.append(arm("templates_1", seed, better, ("near",)))
    return {"kind": "flan_study", "settings": {}, "arms": runs}


def test_an_arm_that_is_right_more_often_is_above_with_an_interval_around_its_mean() -> None:
    found = summarise(study([1] * 15 + [0] * 5))
    arms = {one.name: one for one in found.arms}
    assert arms["base"].held_out[ALL].mean == pytest.approx(0.5)
    estimate = arms["templates_1"].held_out["far"]
    assert estimate.mean == pytest.approx(0.75)
    assert estimate.low < 0.75 < estimate.high
    (gain,) = [d for d in found.differences if (d.of, d.against) == ("templates_1", "base")]
    assert gain.held_out[ALL].mean == pytest.approx(0.25)


def test_arms_that_answer_alike_differ_by_nothing_in_every_draw() -> None:
    found = summarise(study([0, 1] * 10))
    for one in found.differences:
        assert one.held_out[ALL].wide == (0.0, 0.0)


def test_answers_about_one_subject_are_drawn_together() -> None:
    """Twenty answers about ten subjects, alike in each, tell no more than ten."""
    found = summarise(study([1, 1, 0, 0] * 5))
    wide = next(a for a in found.arms if a.name == "templates_1").held_out["far"]
    # Two tasks of ten subjects, each right or wrong: the deviation of the mean is 0.5 / sqrt(20).
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * 0.5 / 20**0.5, rel=0.15)


def test_seeds_that_disagree_widen_the_wide_interval_alone() -> None:
    results = study([1] * 20)
    for run in results["arms"]:
        if run["name"] == "templates_1" and run["seed"] == 1:
            run["tasks"] |= {"one": task([0] * 20), "two": task([0] * 20)}
    found = next(a for a in summarise(results).arms if a.name == "templates_1").held_out[ALL]
    assert (found.low, found.high) == (0.5, 0.5)
    assert found.wide == (0.0, 1.0)
    assert found.by_seed == (1.0, 0.0)


def test_a_seed_that_some_arm_lacks_is_left_out() -> None:
    results = study([1] * 20)
    results["arms"].pop()
    found = summarise(results)
    assert found.seeds == (0,)
    assert all(len(one.held_out[ALL].by_seed) == 1 for one in found.arms)


def test_without_a_whole_seed_there_is_nothing_to_say() -> None:
    results = study([1] * 20)
    with pytest.raises(ValueError, match="no seed"):
        summarise({**results, "arms": results["arms"][:1]})


def test_only_the_clusters_that_an_arm_was_tuned_on_count_as_its_own() -> None:
    found = {one.name: one for one in summarise(study([0] * 20)).arms}
    assert found["templates_1"].trained == 1.0
