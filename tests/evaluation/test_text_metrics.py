"""Scores of written answers: whole sets come to what torchmetrics gives for the set."""

import numpy as np
import pytest
from torchmetrics.functional.text import rouge_score, sacre_bleu_score, squad

from mmtune.evaluation.text_metrics import HEADLINES, TEXT_METRICS

ANSWERS = ["the cat sat on the mat today", "A dog runs fast in the park, she said.", "no"]
REFERENCES = [
    ["the cat sat on a mat today", "cats sit"],
    ["the dog runs fast in the big park, she said."],
    ["yes", "No."],
]


def score(name, answers=ANSWERS, references=REFERENCES):
    metric = TEXT_METRICS[name]
    pairs = zip(answers, references, strict=True)
    return float(metric.finish(np.array([metric.parts(*pair) for pair in pairs]).sum(0)))


def test_bleu_of_the_parts_is_that_of_the_corpus():
    assert score("bleu") == pytest.approx(float(sacre_bleu_score(ANSWERS, REFERENCES)), abs=1e-6)


def test_bleu_without_a_match_is_nothing_and_never_nan():
    assert score("bleu", ["x y z", ""], [["a b c"], ["d"]]) == 0.0


@pytest.mark.parametrize("name", ["exact_match", "f1"])
def test_exact_match_and_f1_are_squads(name):
    said = [{"prediction_text": a, "id": str(n)} for n, a in enumerate(ANSWERS)]
    wanted = [
        {"answers": {"text": r, "answer_start": [0] * len(r)}, "id": str(n)}
        for n, r in enumerate(REFERENCES)
    ]
    assert score(name) == pytest.approx(float(squad(said, wanted)[name]) / 100, abs=1e-6)


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_rouge_is_the_best_reference_by_torchmetrics(name):
    whole = rouge_score(ANSWERS, REFERENCES, accumulate="best", rouge_keys=(name,))
    assert score(name) == pytest.approx(float(whole[f"{name}_fmeasure"]), abs=1e-6)


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_the_best_of_several_references_counts_and_the_right_text_is_all_right(name):
    answer = "a red star stands left of the blue circle"
    assert score(name, [answer], [["something else", answer]]) == pytest.approx(1.0)


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_an_empty_answer_is_worth_nothing(name):
    assert score(name, [""], [["a red star stands left"]]) == 0.0


def test_edit_similarity_counts_characters():
    assert score("edit_similarity", ["abcd"], [["abxd"]]) == pytest.approx(3 / 4)


def test_every_metric_that_a_card_may_name_is_measured():
    from typing import get_args

    from mmtune.config.cards import Metric

    assert {HEADLINES.get(name, name) for name in get_args(Metric)} <= TEXT_METRICS.keys()
