"""What a training run is fed with: nothing lost in held-out rows, nor when streaming."""

import json
from pathlib import Path

import pytest
from tiny_runs import all_metrics, make_model, make_rows, train, write_recipe


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


def spoil(rows: Path, *numbers: int) -> Path:
    """Break the lines of these numbers, counted from 1."""
    lines = rows.read_text().splitlines(keepends=True)
    for number in numbers:
        lines[number - 1] = "{broken\n"
    rows.write_text("".join(lines))
    return rows


def places(ledger: Path) -> list[str]:
    return [json.loads(line)["where"] for line in ledger.read_text().splitlines()]


def streamed(tmp_path: Path, model: Path, rows: Path, fraction: float) -> Path:
    return write_recipe(
        tmp_path,
        model,
        rows,
        data__streaming=True,
        data__window_rows=10,
        data__max_bad_rows_fraction=fraction,
        train__max_steps=12,
    )


def test_a_streamed_run_writes_each_bad_row_once_over_two_epochs(
    tmp_path: Path, model: Path
) -> None:
    rows = spoil(make_rows(tmp_path / "rows.jsonl", 24), 3, 17)
    assert train(streamed(tmp_path, model, rows, 0.2)) == 0
    assert places(tmp_path / "run" / "ledger.jsonl") == ["rows.jsonl:3", "rows.jsonl:17"]


def test_a_streamed_run_stops_at_too_many_bad_rows(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = spoil(make_rows(tmp_path / "rows.jsonl", 24), 3, 4, 5, 6, 7)
    assert train(streamed(tmp_path, model, rows, 0.1)) == 2
    assert "rows.jsonl: 5 of 15 rows cannot be used (5 broken_json)" in capsys.readouterr().err


def test_unreadable_dev_rows_stop_the_run_and_stand_in_their_ledger(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", 8)
    dev = spoil(make_rows(tmp_path / "dev.jsonl", 6, start=100), 2, 4)
    recipe = write_recipe(tmp_path, model, rows, data__dev=[{"path": str(dev)}])
    assert train(recipe) == 2
    assert "dev.jsonl: 2 of 6 rows cannot be used" in capsys.readouterr().err
    assert places(tmp_path / "run" / "ledger_held_out.jsonl") == ["dev.jsonl:2", "dev.jsonl:4"]
    assert train(recipe, "data.max_bad_rows_fraction=0.5", "run.dir=" + str(tmp_path / "b")) == 0


def test_rows_drawn_to_be_held_out_are_counted_with_those_trained_on(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", 40)
    recipe = write_recipe(tmp_path, model, rows, data__dev_fraction=0.2, train__max_steps=1)
    assert train(recipe) == 0
    told = capsys.readouterr().out
    counts = [
        int(line.split(": ")[-2].split()[0])
        for line in told.splitlines()
        if line.startswith(("rows.jsonl: ", "held out: rows.jsonl: ")) and " kept" in line
    ]
    assert sum(counts) == 40 and len(counts) == 2


def test_the_held_out_loss_is_measured_before_the_first_step_and_once(
    tmp_path: Path, model: Path
) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", 8)
    dev = make_rows(tmp_path / "dev.jsonl", 4, start=100)
    recipe = write_recipe(tmp_path, model, rows, data__dev=[{"path": str(dev)}])
    assert train(recipe, "train.max_steps=1") == 0
    assert train(recipe, "train.max_steps=2", "train.resume=auto") == 0
    measured = [row["step"] for row in all_metrics(tmp_path / "run") if "dev_loss" in row]
    assert measured == [0, 1, 2]
