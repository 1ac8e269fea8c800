import json
from collections import Counter
from itertools import islice

import pytest

from mmtune.errors import DataError
from mmtune.pocket import instructions, wordings
from mmtune.pocket.faults import ANSWER_FAULTS, FAULT_RATES
from mmtune.pocket.instructions import Instruction, grade
from mmtune.pocket.pool import LOPSIDED_KIND, pool
from mmtune.pocket.rows import NAMES, rows
from mmtune.pocket.tasks import KINDS

CLEAN = list(instructions.clean_set())
DEV = list(instructions.dev_set())
TEST = list(instructions.test_set())
POOL = list(pool(4000))


def test_all_answers_of_the_clean_sets_are_right() -> None:
    wrong = [i for i in [*CLEAN, *DEV, *TEST] if i.fault or not grade(i, i.answer)]
    assert (len(CLEAN), len(DEV), len(TEST), wrong) == (1000, 50, 300, [])


def test_no_prompt_is_in_two_sets_or_twice_in_one() -> None:
    prompts = [" ".join(i.prompt.lower().split()) for i in [*CLEAN, *DEV, *TEST]]
    assert len(set(prompts)) == len(prompts)
    pooled = {" ".join(i.prompt.lower().split()) for i in POOL}
    assert not pooled & set(prompts)
    assert len({i.prompt for i in POOL}) == len(POOL)


def test_a_polite_opening_does_not_carry_a_test_prompt_into_the_training_set() -> None:
    def bare(instruction: Instruction) -> str:
        opener = next((o for o in wordings.OPENERS if instruction.prompt.startswith(o)), "")
        return instruction.prompt.removeprefix(opener)

    assert any(bare(i) != i.prompt for i in TEST)
    assert not {bare(i) for i in TEST} & {bare(i) for i in CLEAN}


def test_ids_are_unique_over_all_sets() -> None:
    ids = [i.id for i in [*CLEAN, *DEV, *TEST, *POOL]]
    assert len(set(ids)) == len(ids)


def test_kinds_are_balanced() -> None:
    for drawn in (CLEAN, DEV, TEST):
        counts = Counter(i.kind for i in drawn)
        assert len(counts) == len(KINDS)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_every_task_is_asked_in_six_wordings_or_more() -> None:
    tables = {name: words for name, words in vars(wordings).items() if name.isupper()}
    assert len(tables) >= len(KINDS)
    assert [name for name, words in tables.items() if len(set(words)) < 6] == []


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert list(instructions.test_set(60, seed=5)) == list(instructions.test_set(60, seed=5))
    assert list(pool(200, seed=5)) == list(pool(300, seed=5))[:200]
    assert {i.prompt for i in pool(200, seed=5)} != {i.prompt for i in pool(200, seed=6)}


def test_faults_come_at_their_rates() -> None:
    counts = Counter(i.fault for i in POOL)
    for fault, rate in FAULT_RATES.items():
        assert counts[fault] / len(POOL) == pytest.approx(rate, abs=0.02), fault
    assert set(counts) == {"", *FAULT_RATES}


def test_every_fault_with_a_rate_is_made_by_something() -> None:
    by_the_pool = {"wrong_answer", "off_topic", "near_duplicate", "lopsided"}
    assert set(FAULT_RATES) == {*ANSWER_FAULTS, *by_the_pool}
    assert sum(FAULT_RATES.values()) < 0.7


def test_faults_are_what_they_say() -> None:
    by_id = {i.id: i for i in POOL}
    for row in POOL:
        if row.fault in ("", "lopsided", "near_duplicate", "chatter", "markup"):
            assert grade(row, row.answer), row
        if row.fault in ("wrong_answer", "off_topic", "empty", "refusal", "truncated"):
            assert not grade(row, row.answer), row
        if row.fault == "lopsided":
            assert row.kind == LOPSIDED_KIND
        assert bool(row.twin) == (row.fault == "near_duplicate")
        if row.twin:
            original = by_id[row.twin]
            assert (original.facts, original.fault) == (row.facts, "")
            assert original.prompt != row.prompt


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("tasks/")])
def test_rows_are_plain_text_with_an_id(name: str) -> None:
    for row in islice(rows(name, seed=2), 30):
        assert all(isinstance(value, str) for value in row.values())
        assert row["id"]
        if name != "corpus":
            assert isinstance(json.loads(row["facts"]), dict)


def test_corpus_rows_can_start_anywhere() -> None:
    assert list(rows("corpus", count=3, start=2)) == list(rows("corpus", count=5))[2:]


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(DataError, match=r"pocket:instructions/tset.*instructions/test"):
        rows("instructions/tset")
