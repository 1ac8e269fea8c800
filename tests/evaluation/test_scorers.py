from typing import get_args

import pytest

from mmtune.config.recipe import Select
from mmtune.errors import DataError
from mmtune.evaluation.scorers import SCORERS, normalized
from mmtune.pocket.rows import rows


def test_the_table_holds_exactly_what_a_recipe_can_name() -> None:
    assert set(SCORERS) == set(get_args(Select.model_fields["scorer"].annotation))


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_the_reference_scores_one_and_nothing_scores_zero(name: str) -> None:
    for row in rows("instructions/dev"):
        score = SCORERS[name]
        assert score(row, row["instruction"], row["output"], row["output"]) == 1.0
        assert score(row, row["instruction"], row["output"], "") == 0.0


def test_oracle_needs_no_word_of_the_reference() -> None:
    row = {"kind": "arithmetic", "facts": '{"a": 2, "b": 3, "minus": false}'}
    assert SCORERS["oracle"](row, "2 + 3?", "", "That makes five!") == 1.0
    assert SCORERS["oracle"](row, "2 + 3?", "six", "six") == 0.0


def test_oracle_refuses_rows_of_another_world() -> None:
    with pytest.raises(DataError, match="no kind and no facts"):
        SCORERS["oracle"]({}, "Write a poem", "", "Roses")


def test_exact_match_forgives_case_points_and_articles_only() -> None:
    score = SCORERS["exact_match"]
    assert score({}, "", "The red star.", "red  STAR!") == 1.0
    assert score({}, "", "The red star.", "red stars") == 0.0
    assert score({}, "", "-3.5", "35") == 0.0
    assert score({}, "", "...", "") == 0.0


def test_overlap_is_the_f1_of_words() -> None:
    score = SCORERS["overlap"]
    assert score({}, "", "a red star", "red heart") == pytest.approx(0.5)
    assert score({}, "", "red red star", "red") == pytest.approx(0.5)
    assert score({}, "", "red star", "star red") == 1.0
    assert score({}, "", "red", "blue") == 0.0


def test_normalising_keeps_numbers_and_other_scripts() -> None:
    assert normalized("It's -3.5, a ÉTÉ; 日本。") == "it s -3.5 été 日本"
