"""`mmtune bench text`: both sides do the same work, and the rows are like instruction data."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmtune.cli import main
from mmtune.config.bench import TextBench
from mmtune.errors import ConfigError
from mmtune.workflows import bench
from mmtune.workflows.bench import Lane, Outcome, bench_text, described, read_section
from mmtune.workflows.bench_rows import bench_rows

SMALL = ["width=32", "layers=1", "heads=2", "feed_forward=48", "vocabulary=512", "examples=100"]


def test_both_sides_learn_the_same_and_are_timed(tmp_path: Path) -> None:
    section = read_section(tmp_path, [*SMALL, "seconds=0.2", "threads=1"])
    outcome = bench_text(section, tmp_path)
    assert outcome.ours.losses == pytest.approx(outcome.bare.losses, rel=1e-3)
    assert len(set(outcome.ours.losses)) > 1
    assert outcome.ours.tokens == outcome.bare.tokens > 1000
    assert outcome.ours.flop == outcome.bare.flop > 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert len(rows) >= len(outcome.ours.losses)  # it was the real path


def test_sides_that_differ_are_no_race() -> None:
    with pytest.raises(AssertionError, match="the bare loop is at loss 2.5"):
        bench._check_same([2.0, 2.0], [2.0, 2.5])


def test_the_table_says_how_near_both_come_to_the_peak() -> None:
    ours, bare = (Lane(900, 9 * 10**9, 1.0, ratios=r) for r in ([0.9, 0.8, 5.0], []))
    text = described(Outcome(ours, bare, peak=18e9, clock="CPU time", busy=True))
    assert ["mmtune", "900", "9.0", "50%"] in [line.split() for line in text.splitlines()]
    assert "0.90 of the bare loop" in text and "busy" in text


def test_wrong_keys_are_named_and_no_file_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_section(tmp_path, ["widht=3", "examples=1"])
    assert len(caught.value.faults) == 2 and "did you mean width?" in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        read_section(tmp_path, ["width=30"])
    assert str(caught.value) == "width (30) must be a multiple of twice the heads (4)"


def test_the_verb_hands_over_its_keys_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[TextBench] = []

    def stand_in(section: TextBench, folder: Path) -> Outcome:
        seen.append(section)
        (folder / "x").write_text("x")
        return Outcome(Lane(1, 1, 1.0, ratios=[1.0]), Lane(1, 1, 1.0), 1.0, "", busy=False)

    monkeypatch.setattr(bench, "bench_text", stand_in)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["bench", "text", "layers=3"]) == 0
    assert seen[0].layers == 3 and "1.00 of the bare loop" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_rows_have_the_lengths_of_instruction_data_and_are_the_same_each_time() -> None:
    rows = bench_rows(400, 0)
    assert rows == bench_rows(400, 0) != bench_rows(400, 1)
    words = np.array([len(f"{row['prompt']} {row['completion']}".split()) for row in rows])
    assert 1.25 < words.mean() / np.median(words) < 1.6
