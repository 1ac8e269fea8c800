"""From a recipe's source to examples: found, named, numbered, every row accounted for."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mmtune.config.recipe import Source
from mmtune.data.accounting import RowCounts, counted
from mmtune.data.sources import examples, open_source, open_sources
from mmtune.errors import DataError
from mmtune.types import Dropped, Example

SHARED = Path(os.environ.get("MMTUNE_SHARED", Path(__file__).parents[2] / ".." / "shared"))
TEXT = SHARED / "data" / "text"
needs_shared = pytest.mark.skipif(not TEXT.is_dir(), reason="the shared data is not here")


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def row(answer: str = "Say", **more: Any) -> dict[str, Any]:
    return {"instruction": "Ask", "output": answer, **more}


def read(path: Path | str, **settings: Any) -> list[Example | Dropped]:
    opened = open_source(Source(path=str(path), **settings), max_field_chars=100_000)
    return list(examples(opened))


def test_examples_carry_source_place_and_running_numbers_that_count_bad_rows(
    tmp_path: Path,
) -> None:
    first, bad, last = read(write(tmp_path / "a.jsonl", row(), "{broken", row()))
    assert isinstance(first, Example) and isinstance(last, Example)
    assert (first.id, first.source, first.where) == ("a.jsonl/row-1", "a.jsonl", "a.jsonl:1")
    assert last.id == "a.jsonl/row-3"
    assert isinstance(bad, Dropped)
    assert (bad.source, bad.where, bad.reason) == ("a.jsonl", "a.jsonl:2", "broken_json")


def test_a_rows_own_id_is_used_once_and_ids_never_clash(tmp_path: Path) -> None:
    ids: list[Any] = ["row-5", "x", "x", 7, "", "7", None, True, "a\nb", "y" * 300, "\ud800", "é"]
    found = read(write(tmp_path / "a.jsonl", *(row(id=one) for one in ids)), name="set")
    kept = [example.id for example in found if isinstance(example, Example)]
    assert kept[:6] == ["set/row-1", "set/x", "set/row-3", "set/7", "set/row-5", "set/row-6"]
    assert kept[-1] == "set/é"
    assert len(set(kept)) == len(kept)


def test_reading_twice_gives_the_same_and_other_rows_do_not_change_an_example(
    tmp_path: Path,
) -> None:
    rows = [row(f"answer {n}", id=f"r{n}") for n in range(9)]
    path = write(tmp_path / "a.jsonl", *rows)
    first = read(path)
    assert first == read(path)
    write(path, *reversed(rows))
    turned = {e.id: e.fields for e in read(path) if isinstance(e, Example)}
    assert turned == {e.id: e.fields for e in first if isinstance(e, Example)}


def test_max_rows_counts_rows_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", row(), "{broken", row(), row())
    assert [type(one) for one in read(path, max_rows=3)] == [Example, Dropped, Example]


def test_a_folder_is_read_in_the_order_of_its_paths_and_says_what_it_left(tmp_path: Path) -> None:
    for name in ("b/2.jsonl", "a.jsonl", "b/1.jsonl", ".hidden.jsonl", ".git/x.jsonl"):
        write(tmp_path / "set" / name, row(name))
    write(tmp_path / "set" / "README.md", "words")
    write(tmp_path / "set" / "dataset_info.json", {"x": {}})
    (tmp_path / "set" / "empty.jsonl").touch()
    opened = open_source(Source(path=str(tmp_path / "set")), max_field_chars=99)
    assert opened.files == ("a.jsonl", "b/1.jsonl", "b/2.jsonl")
    assert [e.where for e in examples(opened)] == ["a.jsonl:1", "b/1.jsonl:1", "b/2.jsonl:1"]
    assert set(opened.skipped) == {
        ".git/x.jsonl",
        ".hidden.jsonl",
        "README.md",
        "dataset_info.json",
        "empty.jsonl",
    }
    assert opened.name == "set" and "not read: .git/x.jsonl" in opened.described()


def test_files_of_one_folder_may_name_their_columns_differently_but_not_their_layout(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a.jsonl", {"question": "q", "answer": "a"})
    write(tmp_path / "b.jsonl", {"prompt": "p", "completion": "c"})
    assert [e.fields["output"] for e in read(tmp_path) if isinstance(e, Example)] == ["a", "c"]
    write(tmp_path / "c.jsonl", {"text": "t"})
    with pytest.raises(DataError, match="a.jsonl is prompt_completion, c.jsonl is text"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no/such.jsonl", "no such file or folder.*no folder"),
        ("a.jsnl", "Did you mean 'a.jsonl'"),
        ("notes.md", "not a kind of file"),
        ("empty", "It is empty"),
        ("blank.jsonl", "no row that can be read; it is empty"),
        ("broken.jsonl", r"the first is broken.jsonl:1: "),
    ],
)
def test_a_source_with_nothing_to_read_is_an_error_that_says_why(
    tmp_path: Path, path: str, message: str
) -> None:
    write(tmp_path / "a.jsonl", row())
    write(tmp_path / "notes.md", "words")
    write(tmp_path / "blank.jsonl", "", " ")
    write(tmp_path / "broken.jsonl", "{", "{")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        read(tmp_path / path)


def test_the_faults_of_all_sources_come_at_once(tmp_path: Path) -> None:
    good = str(write(tmp_path / "a.jsonl", row()))
    paths = [good, "missing.jsonl", good, str(write(tmp_path / "b.jsonl", {"x": "y"}))]
    with pytest.raises(DataError) as error:
        open_sources([Source(path=path) for path in paths], max_field_chars=99)
    assert len(error.value.faults) == 3
    assert "two sources are called 'a.jsonl'" in error.value.faults[2]


def test_a_hub_set_is_streamed_and_its_failure_says_what_was_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import datasets

    asked: list[Any] = []

    def load_dataset(path: str, **options: Any) -> list[dict[str, Any]]:
        asked.append((path, options))
        if path == "some/missing":
            raise ConnectionError("Couldn't reach it")
        return [row(), row()]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("mmtune.data.files.was_downloaded", lambda data_set: True)
    found = read("some/set", subset="en", split="dev")
    assert [e.where for e in found] == ["some/set[dev]#1", "some/set[dev]#2"]
    assert asked[0] == ("some/set", {"name": "en", "split": "dev", "streaming": True})
    with pytest.raises(DataError, match="no such file or folder here.*hub.*Couldn't reach it"):
        read("some/missing")


def test_the_pocket_is_read_like_any_other_set() -> None:
    found = read("pocket:instructions/dev", max_rows=5)
    assert all(isinstance(e, Example) and {"kind", "facts"} <= e.fields.keys() for e in found)
    assert found[0].source == "dev"
    (document,) = read("pocket:corpus", max_rows=1)
    assert isinstance(document, Example) and document.turns[0].role == "document"


@pytest.mark.parametrize(
    ("path", "message"),
    [("pocket:instructions/clan", "'instructions/clean'"), ("pocket:corpus", "max_rows")],
)
def test_a_pocket_set_that_cannot_be_read_whole_is_refused(path: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(path)


def tally(path: Path) -> tuple[RowCounts, list[Example]]:
    opened = open_source(Source(path=str(path)), max_field_chars=1_000_000)
    counts = RowCounts(opened.name)
    rows = list(counted(examples(opened), counts))
    assert counts.seen == len(rows)
    kept = [one for one in rows if isinstance(one, Example)]
    assert len({example.id for example in kept}) == counts.kept
    return counts, kept


@needs_shared
def test_every_row_of_lima_is_accounted_for_and_thirty_are_dialogues() -> None:
    counts, kept = tally(TEXT / "lima" / "train.jsonl")
    assert (counts.seen, counts.kept, counts.unanswered) == (1030, 1030, 1)
    assert sum(len(example.turns) > 2 for example in kept) == 30


@needs_shared
def test_every_row_of_the_alpaca_pool_is_accounted_for() -> None:
    counts, kept = tally(TEXT / "alpaca_22k" / "pool.jsonl")
    assert (counts.seen, counts.kept) == (22_071, 22_061)
    assert counts.by_reason == {"empty_answer": 10}
    assert {example.task for example in kept} == {"instruction"}


CHAT_FORMATS: dict[str, tuple[str, int] | str] = {
    "LICENSE.hiyouga+LLaMA-Factory": "not a kind of file",
    "SOURCES.md": "not a kind of file",
    "alpaca_en_demo.json": ("instruction", 999),
    "c4_demo.jsonl": ("text", 300),
    "dataset_info.json": "one array of rows",
    "dummy_conversation.json": ("conversations", 500),
    "identity.json": ("instruction", 91),
    "kto_en_demo.json": "preference data",
    "mllm_demo.json": "vision_language",
    "mllm_demo_data": "no file in this folder",
    "oasst_en_100_tree.jsonl": "message trees",
    "reason_tool_use_demo_50.jsonl": "tool calls",
    "v1_dpo_demo.jsonl": "preference data",
    "v1_multimodal_demo.jsonl": "vision_language",
    "v1_sft_demo.jsonl": ("messages", 500),
    "wiki_demo.txt": ("text", 30),
}


@needs_shared
def test_every_chat_format_file_is_recognised_or_refused_with_a_reason() -> None:
    folder = TEXT / "chat_formats"
    assert {path.name for path in folder.iterdir()} == CHAT_FORMATS.keys()
    for name, expected in CHAT_FORMATS.items():
        if isinstance(expected, str):
            with pytest.raises(DataError, match=expected):
                open_source(Source(path=str(folder / name)), max_field_chars=1_000_000)
            continue
        opened = open_source(Source(path=str(folder / name)), max_field_chars=1_000_000)
        assert (opened.inference.layout, tally(folder / name)[0].kept) == expected, name


def test_a_column_that_only_later_rows_have_is_read_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"instruction": f"Say {n}", "output": "x"} for n in range(30)]
    rows[25] |= {"input": "this", "system_prompt": "Be kind", "other": "y"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = list(examples(open_source(Source(path=str(path)), max_field_chars=99)))
    late = found[25]
    assert isinstance(late, Example)
    assert late.fields["input"] == "this" and late.fields["system"] == "Be kind"
    assert late.fields["other"] == "y"
