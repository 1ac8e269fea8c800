import random

import numpy as np
import pytest

from mmtune.encoding.samples import TokenSample, fit
from mmtune.errors import DataError

STOP = 99


def sample(spans: str) -> TokenSample:
    """`.` is a prompt's token, `a` an answer's, `|` its stop: "..aa|" """
    ids = [STOP if mark == "|" else place for place, mark in enumerate(spans)]
    return TokenSample(
        np.array(ids, dtype=np.int32), np.array([m != "." for m in spans]), "e7", "alpaca"
    )


@pytest.mark.parametrize(
    ("spans", "max_tokens", "expected"),
    [
        ("..aaaa|", 5, "..aa|"),
        ("..aaaa|.", 7, "..aaaa|"),
        ("..aa|...aa|", 10, "..aa|...a|"),
        ("..aa|...aa|", 9, "..aa|"),  # room for a stop only: an empty answer is not taught
        ("..aa|...aa|", 7, "..aa|"),
        ("..aa|...aa|", 5, "..aa|"),
        ("..aa|...aa|", 4, "..a|"),
    ],
)
def test_truncation_keeps_a_learnt_stop_token_last(
    spans: str, max_tokens: int, expected: str
) -> None:
    cut = fit(sample(spans), max_tokens, "truncate")
    assert isinstance(cut, TokenSample)
    wanted = sample(expected)
    assert cut.ids.tolist() == wanted.ids.tolist()
    assert cut.supervised.tolist() == wanted.supervised.tolist()


def test_truncation_never_teaches_a_stop_where_no_answer_was() -> None:
    rng = random.Random(0)
    for _ in range(300):
        spans = "".join("." * rng.randrange(1, 6) + "a" * rng.randrange(1, 6) + "|"
                        for _ in range(3))  # fmt: skip
        whole = sample(spans)
        limit = rng.randrange(1, len(spans) + 3)
        cut = fit(whole, limit, "truncate")
        if isinstance(cut, str):
            assert cut == "truncated_to_nothing" and "a" not in spans[: limit - 1]
            continue
        length = len(cut.ids)
        assert length <= max(limit, 1) and cut.ids[-1] == STOP and cut.supervised[-1]
        assert cut.supervised.tolist() == whole.supervised[:length].tolist()
        assert cut.ids[:-1].tolist() == whole.ids[: length - 1].tolist()
        assert spans[length - 2] == "a" or spans[length - 1] == "|"


def test_nothing_left_to_learn_is_a_reason() -> None:
    for limit in (1, 2, 3):
        assert fit(sample("..aaaa|"), limit, "truncate") == "truncated_to_nothing"


def test_a_given_stop_token_closes_the_cut() -> None:
    cut = fit(sample("aaaaaa"), 3, "truncate", stop_id=7)
    assert isinstance(cut, TokenSample) and cut.ids.tolist() == [0, 1, 7]


def test_a_sample_that_fits_is_left_alone_by_every_policy() -> None:
    short = sample("..aa|")
    assert all(fit(short, 5, policy) is short for policy in ("drop", "truncate", "error"))


def test_dropping_gives_the_reason_and_error_names_the_example() -> None:
    assert fit(sample("..aa|"), 4, "drop") == "overlong"
    with pytest.raises(DataError, match="alpaca: example e7 has 5 tokens.*max_tokens .4."):
        fit(sample("..aa|"), 4, "error")
