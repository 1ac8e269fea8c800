"""A run over sources in which about 1% of the rows are bad, of every kind that there is."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from bad_inputs.rows import DIALOGUES, UNREADABLE, UNUSABLE, said, talk
from tiny_runs import make_model, train

from mmtune.data.reasons import REASONS
from mmtune.encoding.store import open_store

MAX_FIELD_CHARS = 20_000
LONG = b"word " * 60
EMPTY_TEXT, LONG_TEXT = b'{"text": " "}', b'{"text": "' + LONG + b'"}'
TOO_LONG = said(output=LONG.decode())
ODD_CELLS = b'"a","b","c"'
OPEN_QUOTE = b'"a" "b'

Planted = dict[str, dict[int, str]]
"""Source -> number of the line -> reason."""


def spread(good: Sequence[bytes], bad: Sequence[tuple[bytes, str]]) -> tuple[bytes, dict[int, str]]:
    """The good lines with the bad ones among them at even distances; where those stand."""
    step = len(good) // (len(bad) + 1)
    lines, where = list(good), {}
    for number, (line, reason) in enumerate(bad, 1):
        lines.insert(number * step, line)
        where[number * step + 1] = reason
    return b"\n".join(lines) + b"\n", where


def bad_rows() -> dict[str, list[tuple[bytes, str]]]:
    instructions = [(row.line, row.reason) for row in (*UNREADABLE, *UNUSABLE) if row.reason]
    dialogues = [(row.line, row.reason) for row in DIALOGUES if row.reason]
    return {
        "instructions.jsonl": [*instructions, (TOO_LONG, "overlong")],
        "dialogues.jsonl": dialogues,
        "documents.jsonl": [(EMPTY_TEXT, "empty_text"), (LONG_TEXT, "overlong")],
        "table.csv": [(ODD_CELLS, "wrong_columns"), (OPEN_QUOTE, "broken_csv")],
    }


def good_rows(name: str, count: int) -> Iterator[bytes]:
    for n in range(count):
        if name.startswith("instructions"):
            yield said(instruction=f"Count to {n}.", output=f"{n} it is")
        elif name.startswith("dialogues"):
            yield talk(("user", f"Say {n}"), ("assistant", str(n)))
        elif name.startswith("documents"):
            yield json.dumps({"text": f"Once there were {n}."}).encode()
        else:
            yield b"prompt,completion" if n == 0 else f'"Add 1 to {n}","{n + 1}"'.encode()


COUNTS = {
    "instructions.jsonl": 2400,
    "dialogues.jsonl": 1500,
    "documents.jsonl": 200,
    "table.csv": 201,
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Planted]:
    """The folder of a finished run, and what was planted in its sources."""
    folder = tmp_path_factory.mktemp("bad-rows")
    planted: Planted = {}
    for name, bad in bad_rows().items():
        text, planted[name] = spread(list(good_rows(name, COUNTS[name])), bad)
        (folder / name).write_bytes(text)
    recipe = {
        "model": {
            "family": "text",
            "path": str(make_model(folder / "model")),
            "gradient_checkpointing": "off",
        },
        "data": {
            "sources": [{"path": str(folder / name)} for name in planted],
            "max_tokens": 64,
            "max_field_chars": MAX_FIELD_CHARS,
        },
        "train": {"max_steps": 3, "batching": {"row_tokens": 256}},
        "samples": {"count": 0},
        "run": {"dir": str(folder / "run"), "tensorboard": False, "threads": 1},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert train(folder / "recipe.yaml") == 0
    return folder / "run", planted


def seen_rows(name: str) -> int:
    header = name.endswith(".csv")
    return COUNTS[name] - header + len(bad_rows()[name])


def test_every_reason_that_a_reader_knows_is_planted_and_no_more_than_one_row_in_a_hundred() -> (
    None
):
    planted = [reason for bad in bad_rows().values() for _, reason in bad]
    assert set(planted) == {*REASONS, "overlong"}
    assert 0.008 < len(planted) / sum(map(seen_rows, COUNTS)) < 0.0125


def test_the_ledger_names_each_bad_row_with_its_line_and_reason(ran: tuple[Path, Planted]) -> None:
    run, planted = ran
    lines = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    named = Counter((line["source"], line["where"], line["reason"]) for line in lines)
    assert named == Counter(
        (name, f"{name}:{number}", reason)
        for name, places in planted.items()
        for number, reason in places.items()
    )
    assert all(0 < len(line["detail"]) <= 203 for line in lines)


def test_kept_and_dropped_make_up_what_was_seen(ran: tuple[Path, Planted]) -> None:
    run, planted = ran
    counts = json.loads((run / "encoded" / "train" / "accounts.json").read_text())["counts"]
    store = open_store(run / "encoded" / "train")
    kept = Counter(store.sample(number).source for number in range(len(store)))
    for name, places in planted.items():
        assert counts[name]["by_reason"] == dict(Counter(places.values()))
        assert counts[name]["kept"] == kept[name]
        assert counts[name]["kept"] + len(places) == seen_rows(name)


def test_the_run_came_to_its_end(ran: tuple[Path, Planted]) -> None:
    run, _ = ran
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert (run / "final" / "model.safetensors").is_file()
