"""A card opened: rows to examples, each with its fields, choices and answer, or a reason."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmtune.config.cards import Card
from mmtune.data.accounting import RowCounts, counted
from mmtune.data.cards import card_reader, open_card
from mmtune.errors import DataError
from mmtune.types import Dropped, Example


def card(**changes: Any) -> Card:
    given: dict[str, Any] = {
        "name": "rte",
        "cluster": "nli",
        "hub": {"path": "nyu-mll/glue", "config": "rte"},
        "splits": {"train": "train", "dev": "validation", "test": "validation"},
        "fields": {"premise": "{{ sentence1 }}", "hypothesis": "{{ sentence2 }}"},
        "choices": ["yes", "no"],
        "label": "{{ label }}",
    }
    return Card.model_validate(given | changes)


def free(**changes: Any) -> Card:
    given = {"fields": {"q": "{{ q }}"}, "choices": [], "label": "", "answer": "{{ a }}"}
    return card(**(given | changes))


def row(label: Any = 0, **more: Any) -> dict[str, Any]:
    return {"sentence1": "It rained.", "sentence2": "It was wet.", "label": label, **more}


def write(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [one if isinstance(one, str) else json.dumps(one) for one in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def read(made: Card, tmp_path: Path, *rows: Any) -> list[Example | Dropped]:
    path = write(tmp_path / "train.jsonl", *rows)
    return list(open_card(made.model_copy(update={"path": str(path)}), "train"))


def only(made: Card, tmp_path: Path, *rows: Any) -> Example:
    (found,) = read(made, tmp_path, *rows)
    assert isinstance(found, Example), found
    return found


def reasons(made: Card, tmp_path: Path, *rows: Any) -> list[str]:
    return [
        one.reason if isinstance(one, Dropped) else "kept" for one in read(made, tmp_path, *rows)
    ]


def test_a_row_becomes_fields_choices_and_the_answer(tmp_path: Path) -> None:
    example = only(card(), tmp_path, row(1))
    assert example.fields == {
        "premise": "It rained.",
        "hypothesis": "It was wet.",
        "answer": "no",
    }
    assert (example.task, example.source, example.choices) == ("rte", "rte/train", ("yes", "no"))
    assert (example.id, example.where) == ("rte/train/row-1", "train.jsonl:1")


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (0, "yes"),
        ("1", "no"),
        ("no", "no"),
        (1.0, "no"),
        (True, "no"),
        (-1, "unlabelled"),
        ("-1", "unlabelled"),
        (None, "unlabelled"),
        ("", "unlabelled"),
        (2, "label_out_of_range"),
        (-2, "label_out_of_range"),
        ("maybe", "unknown_label"),
        (0.5, "unknown_label"),
        ([0], "unknown_label"),
    ],
)
def test_a_label_is_a_number_from_0_or_a_choices_text(
    tmp_path: Path, label: Any, told: str
) -> None:
    (found,) = read(card(), tmp_path, row(label))
    answer = found.reason if isinstance(found, Dropped) else found.fields["answer"]
    assert answer == told


def test_a_text_that_is_a_choice_counts_before_its_number(tmp_path: Path) -> None:
    stars = card(choices=["1", "2", "3"])
    assert only(stars, tmp_path, row("1")).fields["answer"] == "1"
    assert only(stars, tmp_path, row(1)).fields["answer"] == "2"


def test_choices_may_come_from_the_row(tmp_path: Path) -> None:
    made = card(choices="{{ [a, b] }}", label="{{ key | int - 1 }}")
    example = only(made, tmp_path, row(a=" left ", b="right", key="2"))
    assert (example.choices, example.fields["answer"]) == (("left", "right"), "right")


def test_doubled_and_blank_choices_go_after_the_label_counted_them(tmp_path: Path) -> None:
    made = card(choices="{{ ends }}")
    ends = ["a", "a", "", "b"]
    assert only(made, tmp_path, row(3, ends=ends)).fields["answer"] == "b"
    assert only(made, tmp_path, row(3, ends=ends)).choices == ("a", "b")
    assert reasons(made, tmp_path, row(2, ends=ends), row(0, ends=["a", "a"])) == [
        "empty_answer",
        "too_few_choices",
    ]


def test_choices_that_are_no_list_or_absent_are_told(tmp_path: Path) -> None:
    made = card(choices="{{ ends }}")
    rows = [row(ends="abc"), row(), row(ends=None), row(ends=[]), row(ends=[["a"], "b"])]
    assert reasons(made, tmp_path, *rows) == [
        "wrong_type",
        "missing_field",
        "missing_field",
        "wrong_type",
        "wrong_type",
    ]


@pytest.mark.parametrize("premise", ["{{ sentence1 }}", "So: {{ sentence1 }}"])
def test_a_missing_or_null_column_is_told_whatever_the_jinja(tmp_path: Path, premise: str) -> None:
    made = card(fields={"premise": premise, "hypothesis": "{{ sentence2 }}"})
    without = {"sentence2": "x", "label": 0}
    found = read(made, tmp_path, without, row(sentence1=None))
    assert [one.reason for one in found if isinstance(one, Dropped)] == ["missing_field"] * 2
    assert isinstance(found[0], Dropped) and "sentence1" in found[0].detail
    assert "sentence2, label" in found[0].detail


def test_values_come_out_as_text_and_stripped(tmp_path: Path) -> None:
    made = card(fields={"premise": "{{ sentence1 }}", "hypothesis": "<{{ sentence2 }}>"})
    example = only(made, tmp_path, row(sentence1=" 3.5\r\n", sentence2=7))
    assert (example.fields["premise"], example.fields["hypothesis"]) == ("3.5", "<7>")
    assert only(made, tmp_path, row(sentence1=True)).fields["premise"] == "true"
    assert reasons(made, tmp_path, row(sentence1=["x"])) == ["wrong_type"]


def test_data_is_filled_in_and_never_compiled(tmp_path: Path) -> None:
    made = card(fields={"premise": "{{ sentence1 }}", "hypothesis": "- {{ sentence2 }}"})
    example = only(made, tmp_path, row(sentence1="{{ 1 + 1 }}", sentence2="{% raise %}"))
    assert example.fields["premise"] == "{{ 1 + 1 }}"
    assert example.fields["hypothesis"] == "- {% raise %}"


def test_columns_called_like_a_method_or_with_odd_names_can_be_read(tmp_path: Path) -> None:
    made = free(fields={"q": "{{ d.items }}"}, answer='{{ row["A-coref"] }}')
    example = only(made, tmp_path, {"d": {"items": "three"}, "A-coref": "TRUE"})
    assert example.fields == {"q": "three", "answer": "TRUE"}


def test_a_blank_field_drops_the_row_unless_the_card_allows_it(tmp_path: Path) -> None:
    blank = row(sentence1=" \n")
    assert reasons(card(), tmp_path, blank) == ["empty_field"]
    assert reasons(card(optional=["premise"]), tmp_path, blank) == ["kept"]


@pytest.mark.parametrize("keep", ["label >= 0", "{{ label >= 0 }}"])
def test_keep_leaves_rows_out_and_says_so(tmp_path: Path, keep: str) -> None:
    assert reasons(card(keep=keep), tmp_path, row(0), row(-1)) == ["kept", "not_kept"]


def test_an_answer_is_text_and_references_are_all_that_count(tmp_path: Path) -> None:
    made = free(references="{{ [a] + more }}")
    example = only(made, tmp_path, {"q": "?", "a": "x", "more": ["y", "x", " ", "z "]})
    assert (example.fields["answer"], example.references) == ("x", ("x", "y", "z"))
    assert example.choices == ()


def test_without_an_answer_the_first_reference_is_learnt(tmp_path: Path) -> None:
    made = free(answer="", references="{{ answers.text }}")
    example = only(made, tmp_path, {"q": "?", "answers": {"text": ["one", "two"]}})
    assert (example.fields["answer"], example.references) == ("one", ("one", "two"))
    nothing = [{"q": "?", "answers": {"text": []}}, {"q": "?"}, {"q": "?", "answers": {}}]
    assert reasons(made, tmp_path, *nothing) == ["empty_answer", "missing_field", "missing_field"]
    assert reasons(made, tmp_path, {"q": "?", "answers": {"text": "one"}}) == ["wrong_type"]


def test_an_expression_that_fails_on_a_row_costs_that_row_only(tmp_path: Path) -> None:
    made = card(label="{{ ['a', 'b'].index(label) }}")
    assert reasons(made, tmp_path, row("b"), row("c"), row("a")) == [
        "kept",
        "bad_expression",
        "kept",
    ]


def test_an_expression_that_would_run_for_ever_is_stopped(tmp_path: Path) -> None:
    made = card(label="{{ 'x' * 999999999 }}")
    assert reasons(made, tmp_path, row()) == ["bad_expression"]


def test_every_fault_of_a_cards_jinja_is_told_at_once() -> None:
    made = card(
        fields={"premise": "{{ a", "hypothesis": "{% if %}"},
        keep="label >=",
        label="{{ a }} {{ b }}",
        prepare="recrod",
    )
    with pytest.raises(DataError) as caught:
        card_reader(made)
    told = "\n".join(caught.value.faults)
    for name in ("fields.premise", "fields.hypothesis", "keep", "label"):
        assert f"card rte: {name}: " in told
    assert "did you mean 'record'?" in told


def test_unreadable_and_unfit_rows_are_all_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", row(), "{broken", row(9), row(sentence1=None), "[1]")
    counts = RowCounts("rte/train")
    opened = open_card(card(path=str(path)), "train")
    assert len(list(counted(opened, counts))) == counts.seen == 5
    assert (counts.kept, counts.dropped) == (1, 4)
    assert {d.source for d in opened if isinstance(d, Dropped)} == {"rte/train"}


def test_ids_are_the_rows_own_or_count_all_rows(tmp_path: Path) -> None:
    found = read(card(), tmp_path, row(id="a"), "{", row(), row(id="a"), row(id=7))
    assert [one.id for one in found if isinstance(one, Example)] == [
        "rte/train/a",
        "rte/train/row-3",
        "rte/train/row-4",
        "rte/train/7",
    ]


def test_a_preparation_may_make_several_rows_or_none_and_each_has_its_id(tmp_path: Path) -> None:
    made = card(
        fields={"q": "{{ question }}", "r": "{{ answer }}"},
        choices=["no", "yes"],
        prepare="multirc",
    )
    several = {"id": "m", "question": "?", "answers": ["a", "b"], "labels": [0, 1]}
    one = {"question": "?", "answer": "c", "label": 1}
    none = {"question": "?", "answers": [], "labels": []}
    broken = {"question": "?", "answers": ["a"], "labels": []}
    found = read(made, tmp_path, several, one, none, broken)
    assert [e.id for e in found if isinstance(e, Example)] == [
        "rte/train/m/1",
        "rte/train/m/2",
        "rte/train/row-2",
    ]
    assert [e.fields["answer"] for e in found if isinstance(e, Example)] == ["no", "yes", "yes"]
    assert [d.reason for d in found if isinstance(d, Dropped)] == [
        "nothing_prepared",
        "wrong_type",
    ]


def test_reading_again_gives_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", *(row(n % 2) for n in range(5)))
    opened = open_card(card(path=str(path)), "train")
    assert list(opened) == list(opened)


def test_too_long_and_broken_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", row(sentence1="x" * 11), row(sentence2="a\0"))
    opened = open_card(card(path=str(path)), "train", max_field_chars=12)
    assert [type(one) for one in opened] == [Example, Dropped]
    short = open_card(card(path=str(path)), "train", max_field_chars=10)
    told = [one.reason for one in short if isinstance(one, Dropped)]
    assert told == ["too_long_field", "nul_character"]


# ------------------------------------------------------------------------ splits and files


def numbers(opened: Iterator[Example | Dropped] | Any) -> list[int]:
    return [int(one.id.rpartition("-")[2]) for one in opened]


def test_parts_of_a_split_are_told_apart_and_lose_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", *(row() for _ in range(25)))

    def part(text: str, **more: Any) -> list[int]:
        made = card(path=str(path), splits={"train": text})
        return numbers(open_card(made, "train", **more))

    assert part("train[20:]") == [21, 22, 23, 24, 25]
    assert part("train[:2]") == [1, 2]
    assert part("train[3:5]") == [4, 5]
    assert part("train[every 10]") == [10, 20]
    assert sorted(part("train[every 7]") + part("train[but every 7]")) == list(range(1, 26))
    assert sorted(part("train[:9]") + part("train[9:]")) == list(range(1, 26))
    assert part("train", max_rows=3) == [1, 2, 3]
    assert part("train[20:]", max_rows=2) == [21, 22]


@pytest.mark.parametrize("text", ["train[", "train[every 1]", "train[1]", "train[-3:]"])
def test_a_part_that_is_not_understood_is_told(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "train.jsonl", row())
    with pytest.raises(DataError, match=r"splits.train: found .*expected a split"):
        open_card(card(path=str(path), splits={"train": text}), "train")


def test_a_folder_gives_each_split_its_files(tmp_path: Path) -> None:
    for name in ("train", "validation", "test"):
        write(tmp_path / f"{name}.jsonl", row(sentence1=name))
    made = card(path=str(tmp_path), splits={"train": "train", "dev": "validation", "test": "test"})
    for split, name in (("train", "train"), ("dev", "validation"), ("test", "test")):
        (found,) = open_card(made, split)  # type: ignore[arg-type]
        assert isinstance(found, Example) and found.fields["premise"] == name


@pytest.mark.parametrize(
    "name", ["valid.jsonl", "rte_dev.jsonl", "validation/0000.jsonl", "val-00000-of-00001.jsonl"]
)
def test_files_are_known_by_other_words_for_their_split(tmp_path: Path, name: str) -> None:
    write(tmp_path / "train.jsonl", row(sentence1="train"))
    write(tmp_path / name, row(sentence1="held out"))
    (found,) = open_card(card(path=str(tmp_path)), "dev")
    assert isinstance(found, Example) and found.fields["premise"] == "held out"


def test_training_rows_never_stand_in_for_a_split_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", row())
    unnamed = write(tmp_path / "rows.jsonl", row())
    for place in (path, unnamed, tmp_path):
        with pytest.raises(DataError, match="has no file for split validation"):
            open_card(card(path=str(place)), "test")
    assert len(list(open_card(card(path=str(unnamed)), "train"))) == 1


def test_held_out_files_never_stand_in_for_training_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "test.jsonl", row())
    with pytest.raises(DataError, match="has no file for split train"):
        open_card(card(path=str(path)), "train")


def test_a_place_for_the_split_in_the_path(tmp_path: Path) -> None:
    write(tmp_path / "a-validation.jsonl", row(sentence1="v"))
    (found,) = open_card(card(path=str(tmp_path / "a-{split}.jsonl")), "dev")
    assert isinstance(found, Example) and found.fields["premise"] == "v"


def test_a_split_that_the_card_has_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no split dev; it has train"):
        open_card(card(splits={"train": "train"}), "dev")


def test_a_card_without_any_rows_says_how_to_get_them() -> None:
    made = card(hub={}, note="Ask the authors.")
    with pytest.raises(DataError, match="set its path. Ask the authors"):
        open_card(made, "train")


def test_a_table_without_a_line_of_names_is_read_by_the_cards_columns(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text('It rained.\tIt was "wet\t1\nshort\tline\n\nx\ty\t0\n')
    made = card(path=str(path), columns=["sentence1", "sentence2", "label"])
    first, bad, last = open_card(made, "train")
    assert isinstance(first, Example) and first.fields["hypothesis"] == 'It was "wet'
    assert first.fields["answer"] == "no"
    assert isinstance(bad, Dropped) and (bad.reason, bad.where) == ("wrong_columns", "train.tsv:2")
    assert isinstance(last, Example) and last.where == "train.tsv:4"
    table = tmp_path / "train.csv"
    table.write_text('"It rained, much.",b,0\n')
    (found,) = open_card(made.model_copy(update={"path": str(table)}), "train")
    assert isinstance(found, Example) and found.fields["premise"] == "It rained, much."


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_other_kinds_of_files_are_read_too(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"train.{kind}"
    if kind == "csv":
        path.write_text("sentence1,sentence2,label\nIt rained.,It was wet.,1\n")
    elif kind == "json":
        path.write_text(json.dumps([row(1)]))
    else:
        import pyarrow
        from pyarrow.parquet import write_table

        write_table(pyarrow.Table.from_pylist([row(1)]), path)
    (found,) = open_card(card(path=str(path)), "train")
    assert isinstance(found, Example) and found.fields["answer"] == "no"


# ------------------------------------------------------------------------------- the hub


class Hub:
    """Stands for `datasets.load_dataset`."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows, self.asked = rows, list[dict[str, Any]]()

    def __call__(self, path: str, **how: Any) -> Iterator[dict[str, Any]]:
        self.asked.append({"path": path, **how})
        return iter(self.rows)


def test_the_hub_is_asked_for_the_split_and_streamed() -> None:
    hub = Hub(row(0), row(1))
    opened = open_card(card(), "test", load_dataset=hub)
    assert not hub.asked  # nothing is fetched before the first row is wanted
    first, second = opened
    assert isinstance(first, Example) and isinstance(second, Example)
    assert (first.where, first.id) == ("nyu-mll/glue:rte[validation]#1", "rte/test/row-1")
    assert second.fields["answer"] == "no"
    assert hub.asked == [
        {
            "path": "nyu-mll/glue",
            "name": "rte",
            "data_dir": None,
            "split": "validation",
            "revision": None,
            "streaming": True,
        }
    ]


def test_parts_are_cut_here_since_a_stream_cannot_be_asked_for_them() -> None:
    hub = Hub(*(row() for _ in range(5)))
    made = card(splits={"train": "train[3:]"})
    assert numbers(open_card(made, "train", load_dataset=hub)) == [4, 5]
    assert hub.asked[0]["split"] == "train"


@pytest.mark.parametrize(("config", "folder"), [("rte", "rte"), ("", "default")])
def test_the_hubs_own_conversion_has_a_folder_for_each_configuration(
    config: str, folder: str
) -> None:
    hub = Hub(row())
    place = {"path": "aps/super_glue", "config": config, "revision": "refs/convert/parquet"}
    list(open_card(card(hub=place), "train", load_dataset=hub))
    asked = hub.asked[0]
    assert (asked["name"], asked["data_dir"]) == (None, folder)
    assert asked["revision"] == "refs/convert/parquet"


def test_a_hub_that_cannot_be_reached_is_told_with_what_to_do() -> None:
    def broken(_path: str, **_how: Any) -> Any:
        raise OSError("no route to host\nmore")

    opened = open_card(card(), "train", load_dataset=broken)
    with pytest.raises(DataError, match=r"no route to host.*set rte.path to the folder"):
        list(opened)


def test_a_local_path_comes_before_the_hub(tmp_path: Path) -> None:
    hub = Hub(row())
    path = write(tmp_path / "train.jsonl", row(), row())
    assert len(list(open_card(card(path=str(path)), "train", load_dataset=hub))) == 2
    assert not hub.asked


def test_a_plain_card_needs_no_jinja(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes 30,000 rows a second: columns that are only named are looked up."""
    from mmtune import sandbox

    def never(*_: Any) -> Any:
        raise AssertionError("rendered")

    monkeypatch.setattr(sandbox.Bounded, "render", never)
    assert only(card(), tmp_path, row()).fields["answer"] == "yes"
    with pytest.raises(AssertionError, match="rendered"):
        read(card(fields={"p": "a {{ sentence1 }}"}), tmp_path, row())
