"""What a training run is fed with: nothing lost in held-out rows, nor when streaming."""

import json
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest
from tiny_runs import (
    all_metrics,
    make_model,
    make_rows,
    metrics,
    start,
    train,
    weights_hash,
    write_recipe,
)

from mmtune.encoding.samples import TokenSample
from mmtune.encoding.store import TokenStore, write_store
from mmtune.workflows import stream

CONSTANT = "train.schedule=constant"


def launch(recipe: Path) -> tuple[int, str]:
    """On two ranks; exit code, and all that they said."""
    with socket.socket() as sock:
        sock.bind(("localhost", 0))
        port = str(sock.getsockname()[1])
    command = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", port, "-m", "mmtune.train", str(recipe)]
    process = start(command, env={"ACCELERATE_USE_CPU": "true"})
    try:
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
    return process.returncode, out + err


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


def test_a_window_made_again_after_a_stop_stands_once_in_the_ledger(
    tmp_path: Path, model: Path
) -> None:
    rows = spoil(make_rows(tmp_path / "rows.jsonl", 24), 3, 8, 17, 24)
    recipe = streamed(tmp_path, model, rows, 0.4)
    for steps in (1, 4, 7, 12):
        assert train(recipe, f"train.max_steps={steps}", "train.resume=auto") == 0
    wheres = [f"rows.jsonl:{number}" for number in (3, 8, 17, 24)]
    assert sorted(places(tmp_path / "run" / "ledger.jsonl")) == sorted(wheres)


def test_a_start_that_came_to_nothing_leaves_no_rows_in_the_next_ones_ledger(
    tmp_path: Path, model: Path
) -> None:
    rows = spoil(make_rows(tmp_path / "rows.jsonl", 44), 3, 35, 36, 37, 38)
    recipe = streamed(tmp_path, model, rows, 0.1)
    assert train(recipe, "train.save_every_steps=100") == 2  # in its fourth window
    assert len(places(tmp_path / "run" / "ledger.jsonl")) == 5
    make_rows(rows, 16)
    assert train(recipe) == 0
    assert not (tmp_path / "run" / "ledger.jsonl").exists()


def test_a_stopped_stream_goes_on_as_if_it_had_not_been_stopped(
    tmp_path: Path, model: Path
) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", 24)
    parts = streamed(tmp_path / "parts", model, rows, 0.1)
    for steps in (2, 5, 12):  # within a window, within the next, in another epoch
        assert train(parts, f"train.max_steps={steps}", "train.resume=auto", CONSTANT) == 0
    assert train(streamed(tmp_path / "one", model, rows, 0.1), CONSTANT) == 0
    assert weights_hash(tmp_path / "parts" / "run") == weights_hash(tmp_path / "one" / "run")


def test_an_epoch_of_windows_learns_what_an_epoch_of_the_whole_set_does(
    tmp_path: Path, model: Path
) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", 24)
    assert train(streamed(tmp_path / "windows", model, rows, 0.1), "train.max_steps=7") == 0
    assert train(write_recipe(tmp_path / "whole", model, rows), "train.max_steps=6") == 0
    parts, whole = (metrics(tmp_path / name / "run") for name in ("windows", "whole"))
    assert sum(row["num_targets"] for row in parts) == sum(row["num_targets"] for row in whole)
    assert len({row["num_targets"] for row in parts}) > 2


def test_a_streamed_file_that_changed_is_refused_on_resuming(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_rows(tmp_path / "rows.jsonl", 24)
    recipe = streamed(tmp_path, model, rows, 0.1)
    assert train(recipe, "train.max_steps=2") == 0
    rows.touch()  # the same rows, copied anew
    assert train(recipe, "train.max_steps=3", "train.resume=auto") == 0
    rows.write_text(rows.read_text().replace("Count to 2 from 1.", "Count to 3 from 1."))
    assert train(recipe, "train.max_steps=4", "train.resume=auto") == 2
    told = capsys.readouterr().err
    assert "source rows.jsonl: " in told and "when the run began; now " in told


def test_a_window_that_is_there_is_not_encoded_again(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the longest batch of the first window was looked at before the first step."""
    made: list[int] = []

    def counting(folder: Path, batches: Iterable[list[TokenSample]]) -> TokenStore:
        made.append(1)
        return write_store(folder, batches)

    monkeypatch.setattr(stream, "write_store", counting)
    rows = make_rows(tmp_path / "rows.jsonl", 8)
    recipe = streamed(tmp_path, model, rows, 0.1)
    assert train(recipe, "model.gradient_checkpointing=auto") == 0  # six epochs of one window
    assert len(made) == 1


@pytest.mark.parametrize("spoilt", [0, 6])
def test_two_ranks_train_on_the_windows_that_the_first_one_makes(
    tmp_path: Path, model: Path, spoilt: int
) -> None:
    """Rows of different lengths, so that ranks come to the end of a window at different moments;
    and a window with too many bad rows ends both of them."""
    rows = make_rows(tmp_path / "rows.jsonl", 34)
    recipe = streamed(tmp_path / "two", model, spoil(rows, *range(20, 20 + spoilt)), 0.1)
    code, told = launch(recipe)
    if spoilt:
        assert code != 0 and "cannot be used (6 broken_json)" in told
        return
    assert code == 0, told
    assert train(streamed(tmp_path / "one", model, rows, 0.1)) == 0
    one, two = (metrics(tmp_path / name / "run") for name in ("one", "two"))
    assert [row["loss"] for row in one] == pytest.approx([row["loss"] for row in two], rel=1e-4)
    assert [p.name for p in (tmp_path / "two/run/encoded").glob("window*")] == ["window"]


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
