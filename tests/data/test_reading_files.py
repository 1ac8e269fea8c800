"""Raw rows out of every kind of file, healthy and damaged."""

import csv
import gc
import gzip
import json
import os
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from mmtune.config.recipe import Source
from mmtune.data.raw import DataFile, Raw, RawRow
from mmtune.data.readers import read_file
from mmtune.data.sources import examples, open_source
from mmtune.errors import DataError
from mmtune.types import Dropped, Example

ROWS = [{"instruction": f"Ask {n}\n\u2028é", "output": f'Say "{n}", 😀'} for n in range(5)]


def read(path: Path, max_line_bytes: int = 1 << 20) -> list[Raw]:
    kind = Path(path.name.removesuffix(".gz")).suffix
    return list(
        read_file(DataFile(path, path.name, kind), source="s", max_line_bytes=max_line_bytes)
    )


def reasons(rows: list[Raw]) -> list[str]:
    return [row.reason if isinstance(row, Dropped) else "row" for row in rows]


def as_jsonl(rows: list[dict[str, str]], *, end: str = "\n") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


def write_jsonl(path: Path) -> None:
    path.write_bytes(as_jsonl(ROWS))


def write_crlf_and_bom(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + as_jsonl(ROWS, end="\r\n\r\n"))


def write_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(as_jsonl(ROWS)))


def write_array(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8-sig")


def write_object_around_array(path: Path) -> None:
    path.write_text(json.dumps({"version": "1", "notes": ["x"], "data": ROWS}))


def write_csv(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, ["instruction", "output"])
        writer.writeheader()
        writer.writerows(ROWS)


def write_parquet(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.jsonl", write_jsonl),
        ("rows.ndjson", write_crlf_and_bom),
        ("rows.jsonl.gz", write_gzip),
        ("rows.json", write_array),
        ("array_called.jsonl", write_array),
        ("lines_called.json", write_jsonl),
        ("wrapped.json", write_object_around_array),
        ("rows.csv", write_csv),
        ("rows.parquet", write_parquet),
    ],
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str, write) -> None:
    write(tmp_path / name)
    rows = read(tmp_path / name)
    assert [row.values for row in rows if isinstance(row, RawRow)] == ROWS
    assert len({row.where for row in rows}) == len(ROWS)


def test_a_place_is_the_line_in_the_file_blank_lines_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n\n{"a": 2}\n{"a"\n')
    assert [row.where for row in read(path)] == ["a.jsonl:1", "a.jsonl:4", "a.jsonl:5"]


def test_a_place_in_a_csv_is_the_line_on_which_its_row_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('q,a\n"two\nlines",x\n\ny,z\n')
    rows = read(path)
    assert [row.where for row in rows] == ["a.csv:2", "a.csv:5"]
    assert rows[0].values["q"] == "two\nlines"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"a": 1', "broken_json"),
        (b'{"a": 1}}', "broken_json"),
        (b'{"a": "tab\there"}', "broken_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "broken_json"),
        (b'["a", 1]', "not_an_object"),
        (b'"a"', "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"a": "\xff"}', "invalid_unicode"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_unicode"),
        (b'{"a": "\0"}', "nul_character"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "too_deep"),
        (b'{"a": "' + b"x" * (2 << 20) + b'"}', "too_long_line"),
    ],
)
def test_a_bad_line_is_dropped_with_its_reason_and_reading_goes_on(
    tmp_path: Path, bad: bytes, reason: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' + bad + b'\n{"a": 2}\n')
    rows = read(path)
    assert reasons(rows) == ["row", reason, "row"]
    assert rows[1].where == "a.jsonl:2"
    assert len(rows[1].detail) < 300  # the value itself is not kept


def test_broken_json_is_told_with_its_column(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1 "b": 2}\n')
    assert "column 9" in read(path)[0].detail


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_of_exactly_the_limit_is_kept_and_one_byte_more_is_not(
    tmp_path: Path, end: bytes
) -> None:
    path = tmp_path / "a.jsonl"
    line = b'{"a": "' + b"x" * 91 + b'"}'
    path.write_bytes(line + end)
    assert reasons(read(path, max_line_bytes=len(line))) == ["row"]
    assert reasons(read(path, max_line_bytes=len(line) - 1)) == ["too_long_line"]


def test_a_fifty_megabyte_line_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as handle:
        handle.write(b'{"a": "')
        for _ in range(50):
            handle.write(b"x" * (1 << 20))
        handle.write(b'"}\n{"a": 2}\n')
    tracemalloc.start()
    found = reasons(read(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == ["too_long_line", "row"]
    assert peak < 12 << 20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_two_hundred_thousand_lines_stream_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    line = json.dumps({"text": "word " * 40}) + "\n"
    with path.open("w") as handle:
        for _ in range(200):
            handle.write(line * 1000)
    opened = open_source(Source(path=str(path)), max_field_chars=1000)
    gc.collect()
    before, peak = resident_bytes(), 0
    for number, row in enumerate(examples(opened), 1):
        assert isinstance(row, Example)
        if number % 20_000 == 0:
            peak = max(peak, resident_bytes())
    assert number == 200_000
    assert peak - before < 15 << 20  # the file is 42 MB


def test_a_quote_that_is_never_closed_costs_its_own_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('q,a\n1,2\n"open,2\n3,4\n"5",6\n7,8\n')
    rows = read(path)
    assert reasons(rows) == ["row", "broken_csv", "row"]
    assert "lines 3 to 5" in rows[1].detail


def test_a_table_row_of_another_width_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('q\ta\n"1\t2\n3\n4\t5\t6\n')
    rows = read(path)
    assert reasons(rows) == ["row", "wrong_columns", "wrong_columns"]
    assert rows[0].values == {"q": '"1', "a": "2"}  # TSV has no quotes


def test_text_is_split_at_blank_lines_or_else_at_every_line(tmp_path: Path) -> None:
    blocks, each = tmp_path / "blocks.txt", tmp_path / "each.txt"
    blocks.write_bytes(b"\n\none\r\ntwo\r\n \r\n\r\nthree\n")
    each.write_bytes(b"one\ntwo\n\n")
    assert [(r.where, r.values["text"]) for r in read(blocks)] == [
        ("blocks.txt:3", "one\ntwo"),
        ("blocks.txt:7", "three"),
    ]
    assert [r.values["text"] for r in read(each)] == ["one", "two"]


def test_a_document_over_the_limit_is_one_dropped_row(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("first\n\n" + "many lines\n" * 50 + "\nlast\n")
    assert reasons(read(path, max_line_bytes=200)) == ["row", "too_long_line", "row"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'[{"a": 1},\n {"a" 2}]', "line 2, column 7"),
        ("a.json", b'{"one": {"a": 1}}', "one array of rows"),
        ("a.json", b'{"one": [{"a": 1}], "two": [{"a": 1}]}', "one, two"),
        ("a.json", b"[" * 200_000, "cannot be parsed"),
        ("a.jsonl", b"\xff\xfe{\0}\0", "UTF-16"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 999)[:-12], "cannot be read"),
        ("a.parquet", b"PAR1 no", "not a readable Parquet"),
        ("a.csv", b"q,q\n1,2\n", "two columns are called 'q'"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_an_error_that_says_where(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path / name)
    assert name in str(error.value)


def test_bytes_that_are_no_text_cost_one_row_of_a_json_array_or_a_table(tmp_path: Path) -> None:
    array, table = tmp_path / "a.json", tmp_path / "a.csv"
    array.write_bytes(b'[{"text": "\xff"}, {"text": "good"}]')
    table.write_bytes(b"text\n\xff\ngood\n")
    for path in (array, table):
        rows = list(examples(open_source(Source(path=str(path)), max_field_chars=99)))
        assert reasons(rows) == ["invalid_unicode", "row"]


def test_a_one_object_json_file_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    dialogue = {"messages": [{"role": "user", "content": "Hi"}]}
    for value in (ROWS[0], dialogue):
        path.write_text(json.dumps(value, indent=2))
        assert [row.values for row in read(path)] == [value]
