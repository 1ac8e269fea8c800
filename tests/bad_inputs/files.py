"""Files of rows that cannot be read, or are something else than their name says."""

import gzip
import json
import os
from pathlib import Path

from bad_inputs.case import Case, with_file, with_override

KINDS = ".jsonl .ndjson .json .csv .tsv .parquet .txt; all but .parquet also with .gz"
ROW = {"instruction": "Add 1 and 2.", "output": "3"}
LINE = json.dumps(ROW) + "\n"
LONG = "ab" * 2500


def linked(target: str, name: str):
    def make() -> list[str]:
        os.symlink(target, name)
        return [f"data.path={name}"]

    return make


def pipe() -> list[str]:
    os.mkfifo("rows.ndjson")
    return ["data.path=rows.ndjson"]


def pipe_in_folder() -> list[str]:
    Path("set").mkdir()
    os.mkfifo("set/pipe.jsonl")
    Path("set/rows.jsonl").write_text(LINE * 9)
    return ["data.path=set"]


def empty_folder() -> list[str]:
    Path("set.jsonl").mkdir()
    return ["data.path=set.jsonl"]


def no_rights() -> list[str]:
    Path("shut.jsonl").write_text(LINE)
    Path("shut.jsonl").chmod(0)
    return ["data.path=shut.jsonl"]


FILES = [
    Case("a file that is not there", "row.jsonl: no such file or folder. Did you mean "
         "'rows.jsonl'?", with_override("data.path=row.jsonl")),
    Case("an empty file", "e.jsonl: no row that can be read; it is empty.",
         with_file("e.jsonl", b"")),
    Case("blank lines only", "e.jsonl: no row that can be read; it is empty.",
         with_file("e.jsonl", b"\n \n\n")),
    Case("an empty folder, named like a file", f"set.jsonl: no file in this folder can be read "
         f"({KINDS}). It is empty.", empty_folder),
    Case("a link to itself", "loop.jsonl: is a link that leads nowhere (loop.jsonl).",
         linked("loop.jsonl", "loop.jsonl")),
    Case("a link to nothing", "old.jsonl: is a link that leads nowhere (gone.jsonl).",
         linked("gone.jsonl", "old.jsonl")),
    Case("a pipe", "rows.ndjson: is no plain file (a pipe or a device). Save the rows as a file.",
         pipe),
    Case("a pipe among the files of a folder", "", pipe_in_folder,
         does="leaves the pipe out and lists it as not read"),
    Case("a kind that is not read", f"rows.xlsx: not a kind of file that is read ({KINDS}).",
         with_file("rows.xlsx", b"PK\x03\x04")),
    Case("a URL", "https://example.org/a.jsonl: URLs are not read. Download the file and give "
         "its path.", with_override("data.path=https://example.org/a.jsonl")),
    Case("a name of 5,000 characters", f"{LONG[:200]}...: no such file or folder. …",
         with_override(f"data.path={LONG}")),
    Case("a hub id that looks like a path", "set/train: no such file or folder here, and the hub "
         "data set of this id (split 'train') could not be opened: the hub cannot be reached, and "
         "nothing of it is here. Check the spelling and the network, or download it and give the "
         "folder.", with_override("data.path=set/train")),
    Case("an object per line, named `.json`", "", with_file("rows.json", LINE * 9),
         does="reads it line by line"),
    Case("one array, named `.jsonl`", "", with_file("r.jsonl", json.dumps([ROW] * 9, indent=1)),
         does="reads it as the array it is"),
    Case("an array that is cut short", "r.json: broken JSON at line 1, column 49: Expecting "
         "value. Mend it there; rows of one line each belong in a .jsonl file, where a broken row "
         "costs only itself.", with_file("r.json", f"[{LINE.strip()},")),
    Case("an array with a name given twice", "r.json: 'output' is given 2 times. Keep one of "
         "them.", with_file("r.json", '[{"instruction": "a", "output": "b", "output": "c"}]')),
    Case("an array nested 200,000 deep", "r.json: JSON that cannot be parsed (…).",
         with_file("r.json", "[" * 200_000)),
    Case("a number where rows belong", "r.json: no row that can be read; the first is r.json:1: a "
         "number where an object of columns belongs.", with_file("r.json", "3")),
    Case("columns that nothing fits", "r.jsonl: the columns instructions, outputs fit no layout "
         "('instructions' is near to 'instruction'; 'outputs' is near to 'output'): …",
         with_file("r.jsonl", '{"instructions": "a", "outputs": "b"}\n' * 3)),
    Case("preference pairs", "r.jsonl: preference data (better and worse answers), not examples "
         "to imitate (columns chosen, rejected). …",
         with_file("r.jsonl", '{"prompt": "a", "chosen": "b", "rejected": "c"}\n' * 3)),
    Case("a quarter of the rows unusable", "r.jsonl: 3 of 12 rows cannot be used (3 broken_json), "
         "more than data.max_bad_rows_fraction (0.05) allows. The first: r.jsonl:10 broken_json: "
         "…", with_file("r.jsonl", LINE * 9 + "{\n" * 3)),
    Case("gzip under a plain name", "r.jsonl: is packed with gzip. Let its name end in .gz.",
         with_file("r.jsonl", gzip.compress(LINE.encode() * 9))),
    Case("`.gz` that is no gzip", "r.jsonl.gz: cannot be read (Not a gzipped file (b'{\"')). Is "
         "the file complete?", with_file("r.jsonl.gz", LINE)),
    Case("gzip cut short", "r.jsonl.gz: cannot be read (Compressed file ended before the "
         "end-of-stream marker was reached). Is the file complete?",
         with_file("r.jsonl.gz", gzip.compress(LINE.encode() * 99)[:-9])),
    Case("a zip archive", "r.jsonl: is a zip archive. Unpack it.",
         with_file("r.jsonl", b"PK\x03\x04rest")),
    Case("Parquet under another name", "r.jsonl: is Parquet. Let its name end in .parquet.",
         with_file("r.jsonl", b"PAR1rest")),
    Case("`.parquet` that is none", "r.parquet: not a readable Parquet file (…).",
         with_file("r.parquet", LINE * 9)),
    Case("a table with a column twice", "r.csv: two columns are called 'output'. Rename one.",
         with_file("r.csv", "instruction,output,output\na,b,c\n")),
    Case("a table without names", "r.csv: the columns What is 1?, 1 fit no layout: …",
         with_file("r.csv", "What is 1?,1\nWhat is 2?,2\n")),
    Case("a table cut at semicolons", "r.csv: the columns instruction;output fit no layout (…",
         with_file("r.csv", "instruction;output\na;b\n")),
    Case("a table's column without a name", "", with_file("r.csv", ",instruction,output\n0,a,b\n"),
         does="reads the others"),
    Case("UTF-16", "r.jsonl: is UTF-16. Save it as UTF-8.",
         with_file("r.jsonl", LINE.encode("utf-16"))),
    Case("UTF-16 without its mark", "r.jsonl: is UTF-16. Save it as UTF-8.",
         with_file("r.jsonl", LINE.encode("utf-16-be"))),
    Case("UTF-32", "r.csv: is UTF-32. Save it as UTF-8.",
         with_file("r.csv", "instruction,output\n".encode("utf-32"))),
    Case("Latin-1 throughout", "r.jsonl: no row that can be read; the first is r.jsonl:1: byte "
         "0xe9 at byte 21 is not UTF-8.",
         with_file("r.jsonl", '{"instruction": "café", "output": "é"}\n'.encode("latin-1"))),
    Case("a byte-order mark, and `\\r\\n`", "",
         with_file("r.jsonl", b"\xef\xbb\xbf" + LINE.replace("\n", "\r\n").encode() * 9),
         does="reads it without them"),
    Case("a file that may not be read", "shut.jsonl: cannot be read (Permission denied). Is the "
         "file complete?", no_rights, not_as_root=True),
]  # fmt: skip
