"""Scores by their formulas, ties, chance and drops, with likelihoods made up."""

import math

import pytest

from mmtune.evaluation.rank_classification import (
    Likelihood,
    Question,
    Ranked,
    option_scores,
    rank,
)
from mmtune.types import Conversation, Dropped, Text, Turn

ASK = (Turn("user", (Text("Is it so?"),)),)


def question(options=("yes", "no"), right=(0,), name="q"):
    return Question(name, f"file:{name}", ASK, tuple(options), frozenset(right))


def told(table):
    """`table[prompt, option] = (log probability, tokens)`."""

    def likelihoods(conversations):
        return [
            found
            if isinstance(found := table[c.turns[-2].text, c.turns[-1].text], Dropped)
            else Likelihood(*found)
            for c in conversations
        ]

    return likelihoods


NEUTRAL = {("Answer:", "yes"): (-1.0, 2), ("Answer:", "no"): (-6.0, 2)}


def test_the_four_scores_are_their_formulas():
    scores = option_scores(
        ["naïve ☃", "no"],
        [Likelihood(-6.0, 4), Likelihood(-3.0, 2)],
        [Likelihood(-5.0, 4), Likelihood(-1.0, 2)],
    )
    assert scores["sum"] == (-6.0, -3.0)
    assert scores["per_token"] == (-1.5, -1.5)
    assert scores["per_character"] == (-6 / 7, -1.5)  # characters, not bytes
    assert scores["pmi"] == (-1.0, -2.0)


def test_each_score_chooses_on_its_own():
    table = {("Is it so?", "yes"): (-2.0, 2), ("Is it so?", "no"): (-3.0, 2), **NEUTRAL}
    [ranked] = rank([question()], told(table))
    assert ranked.chosen("sum") == 0
    assert ranked.chosen("pmi") == 1  # "yes" is likely whatever is asked
    assert ranked.is_right("sum") and not ranked.is_right("pmi")
    assert ranked.lead("sum") == 1.0
    assert ranked.lead("pmi") == pytest.approx(4.0)


def test_pmi_is_the_log_ratio_of_the_two_probabilities():
    p, q = 0.3, 0.02
    [score, _] = option_scores(
        ["a", "b"],
        [Likelihood(math.log(p), 1), Likelihood(-1.0, 1)],
        [Likelihood(math.log(q), 1), Likelihood(-1.0, 1)],
    )["pmi"]
    assert math.exp(score) == pytest.approx(p / q)


def test_the_neutral_prompt_is_the_one_given_and_each_option_is_asked_after_it_once():
    asked = []

    def likelihoods(conversations):
        asked.extend((c.turns[-2].text, c.turns[-1].text) for c in conversations)
        return [Likelihood(-1.0, 1)] * len(conversations)

    rank([question(name="1"), question(name="2")], likelihoods, "Well?")
    assert sorted(pair for pair in asked if pair[0] == "Well?") == [
        ("Well?", "no"),
        ("Well?", "yes"),
    ]
    assert len(asked) == 6


def test_a_tie_goes_to_the_first_and_has_no_lead():
    ranked = Ranked("q", "q", frozenset([1]), {"sum": (-3.0, -2.0, -2.0)})
    assert ranked.chosen("sum") == 1
    assert ranked.lead("sum") == 0


def test_any_of_several_right_options_will_do():
    ranked = Ranked("q", "q", frozenset([1, 2]), {"sum": (-3.0, -2.5, -2.0)})
    assert ranked.is_right("sum")
    assert ranked.chance == pytest.approx(2 / 3)


def test_uneven_numbers_of_choices_make_uneven_chances():
    table = {(p, o): (-1.0, 1) for p in ("Is it so?", "Answer:") for o in "abcd"}
    found = rank([question("ab"), question("abcd", [3]), question("abc", [0, 1])], told(table))
    assert [one.chance for one in found] == pytest.approx([1 / 2, 1 / 4, 2 / 3])


@pytest.mark.parametrize("where", ["Is it so?", "Answer:"])
def test_a_question_is_dropped_where_one_option_cannot_be_scored(where):
    table = {("Is it so?", "yes"): (-2.0, 2), ("Is it so?", "no"): (-3.0, 2), **NEUTRAL}
    table |= {(p, o): (-1.0, 1) for p in ("Is it so?", "Answer:") for o in "ab"}
    table[where, "no"] = Dropped("", "", "too_long", "9 tokens")
    first, second = rank([question(), question("ab")], told(table))
    assert (first.reason, first.where) == ("too_long", "q") and "'no'" in first.detail
    assert second.scores["sum"] == (-1.0, -1.0)


@pytest.mark.parametrize("bad", [(math.nan, 1), (-math.inf, 1), (0.0, 0)])
def test_a_likelihood_that_is_no_number_is_no_score(bad):
    table = {("Is it so?", "yes"): bad, ("Is it so?", "no"): (-3.0, 2), **NEUTRAL}
    [found] = rank([question()], told(table))
    assert found.reason == "no_likelihood"


@pytest.mark.parametrize("bad", [question(["yes"]), question(right=[])])
def test_a_question_without_a_choice_is_the_callers_fault(bad):
    with pytest.raises(ValueError, match="q"):
        rank([bad], told(NEUTRAL))


def test_options_are_asked_as_answers_to_the_whole_prompt():
    seen = []

    def likelihoods(conversations):
        seen.extend(conversations)
        return [Likelihood(-1.0, 1)] * len(conversations)

    rank([question()], likelihoods)
    assert seen[0] == Conversation("q", (*ASK, Turn("assistant", (Text("yes"),))))
