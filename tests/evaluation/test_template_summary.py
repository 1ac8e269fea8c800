"""Reports over templates and clusters, from marks made up so that the numbers are known."""

import json

import numpy as np
import pytest

from mmtune.evaluation.rank_classification import SCORES, Ranked
from mmtune.evaluation.template_summary import TaskMarks, rank_marks, text_marks, zero_shot_report
from mmtune.judging.statistics import wilson_interval


def marks(template, right, groups=None, n=None):
    """`right` of `n` questions right by every score, the first ones."""
    n = n or len(groups)
    groups = groups or [str(k) for k in range(n)]
    ranked = [
        Ranked(
            str(k), groups[k], frozenset([0]), {s: (1.0, 0.0 if k < right else 2.0) for s in SCORES}
        )
        for k in range(n)
    ]
    return rank_marks(template, ranked)


def task(name, rights, *, cluster="nli", n=20, dev=(), **more):
    return TaskMarks(
        task=name,
        cluster=cluster,
        kind="rank",
        headline="sum",
        test=[marks(f"{name}/{k}", right, n=n) for k, right in enumerate(rights)],
        dev=[marks(f"{name}/{k}", right, n=n) for k, right in enumerate(dev)],
        chance=0.5,
        **more,
    )


def report(*tasks):
    made = zero_shot_report(tasks, seed=0, resamples=400)
    json.dumps(made, allow_nan=False)
    return made


def test_mean_median_and_quartiles_are_over_templates():
    over = report(task("rte", [2, 4, 6, 8, 20]))["tasks"]["rte"]["over_templates"]["sum"]
    assert over["mean"] == pytest.approx(0.4)
    assert over["median"] == pytest.approx(0.3)
    assert over["iqr"] == pytest.approx([0.2, 0.4])
    assert (over["worst"], over["best"], over["templates"]) == (0.1, 1.0, 5)


def test_a_templates_interval_is_wilsons_where_examples_are_independent():
    found = report(task("rte", [8]))["tasks"]["rte"]["templates"]["rte/0"]["sum"]
    assert (found["low"], found["high"]) == wilson_interval(8, 20)


def test_rows_that_made_several_questions_widen_the_interval():
    alone = task("a", [10], n=20)
    rows = [str(k // 10) for k in range(20)]
    joined = TaskMarks("b", "nli", "rank", "sum", [marks("b/0", 10, rows)])
    made = report(alone, joined)["tasks"]
    width = {k: made[k]["templates"][f"{k}/0"]["sum"] for k in "ab"}
    assert (width["b"]["low"], width["b"]["high"]) == (0.0, 1.0)
    assert width["a"]["high"] - width["a"]["low"] < 0.6


def test_ten_equal_templates_tell_no_more_than_one():
    one = report(task("rte", [10]))["tasks"]["rte"]["over_templates"]["sum"]
    ten = report(task("rte", [10] * 10))["tasks"]["rte"]["over_templates"]["sum"]
    assert (one["low"], one["high"]) == pytest.approx((ten["low"], ten["high"]))


def test_the_best_template_is_chosen_on_dev_and_reported_on_test():
    best = report(task("rte", [20, 5, 1], dev=[3, 9, 9]))["tasks"]["rte"]["best_dev_template"][
        "sum"
    ]
    assert (best["template"], best["dev"], best["test"]) == ("rte/1", 9 / 20, 5 / 20)
    assert best["low"] < best["test"] < best["high"]
    assert report(task("rte", [20]))["tasks"]["rte"]["best_dev_template"]["sum"] is None


def test_a_cluster_is_the_mean_of_its_tasks_whatever_their_sizes():
    made = report(
        task("big", [0], n=2000), task("small", [10, 20], n=20), task("x", [5], cluster="sentiment")
    )
    nli = made["clusters"]["nli"]
    assert nli["tasks"] == ["big", "small"]
    assert nli["headline"]["mean"] == nli["sum"]["mean"] == pytest.approx(0.375)
    assert nli["headline"]["low"] < 0.375 < nli["headline"]["high"]
    assert made["clusters"]["sentiment"]["sum"]["mean"] == 0.25


def test_ties_and_close_calls_are_counted():
    rows = [
        Ranked("1", "1", frozenset([0]), {s: (1.0, 1.0) for s in SCORES}),
        Ranked("2", "2", frozenset([0]), {s: (1.0, 1.0005) for s in SCORES}),
        Ranked("3", "3", frozenset([0]), {s: (1.0, 0.0) for s in SCORES}),
    ]
    one = TaskMarks("rte", "nli", "rank", "sum", [rank_marks("rte/0", rows)])
    found = report(one)["tasks"]["rte"]["templates"]["rte/0"]["sum"]
    assert (found["ties"], found["close"]) == (1, 2)


def test_templates_and_tasks_with_nothing_scored_are_named_not_counted():
    half = TaskMarks(
        "half", "nli", "rank", "sum", [marks("half/0", 5, n=10), rank_marks("half/1", [])]
    )
    none = TaskMarks(
        "none", "nli", "rank", "sum", [rank_marks("none/0", [])], dropped={"too_long": 3}
    )
    made = report(half, none)
    assert made["tasks"]["half"]["over_templates"]["sum"]["mean"] == 0.5
    assert made["tasks"]["half"]["unscored_templates"] == ["half/1"]
    assert made["tasks"]["none"]["dropped"] == {"too_long": 3}
    assert made["clusters"]["nli"]["tasks"] == ["half"]
    assert made["clusters"]["nli"]["unscored_tasks"] == ["none"]


def test_written_answers_have_every_measure_and_an_interval_for_bleu():
    answers = ["the red star is left of the circle", "no idea", "the blue star is right of it"] * 4
    wanted = [["the red star is left of the circle"], ["yes"], ["the blue star is on the left"]] * 4
    found = text_marks("e2e/0", [str(k) for k in range(12)], answers, wanted)
    made = report(TaskMarks("e2e", "struct_to_text", "generate", "bleu", [found]))
    over = made["tasks"]["e2e"]["over_templates"]
    assert over["exact_match"]["mean"] == pytest.approx(1 / 3)
    assert over["bleu"]["low"] < over["bleu"]["mean"] < over["bleu"]["high"]
    assert made["clusters"]["struct_to_text"]["headline"] == {
        k: over["bleu"][k] for k in ("mean", "low", "high")
    }


def test_the_same_seed_gives_the_same_report():
    tasks = [task("rte", [3, 9, 12], dev=[1, 2, 3])]
    assert report(*tasks) == report(*tasks)
    assert np.isfinite(report(*tasks)["tasks"]["rte"]["over_templates"]["pmi"]["low"])
