"""What a run writes about itself is whole, is JSON, and names each step once."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mmtune.config.recipe import Recipe, Select
from mmtune.training.loop import StepReport
from mmtune.training.tracking import Tracker, forget_after, open_tracker, write_json, write_whole
from mmtune.workflows.choice import Candidate, Choice, reopen


def tracker(folder: Path, done: int = 0, **train: Any) -> Tracker:
    recipe = Recipe.model_validate(
        {
            "model": {"family": "text", "path": "unused"},
            "data": {"path": "unused"},
            "train": train,
            "run": {"dir": str(folder), "tensorboard": False},
        }
    )
    return open_tracker(folder, total_steps=9, done_steps=done, recipe=recipe, writes=True)


def report(step: int, **more: Any) -> StepReport:
    return StepReport(
        step=step, epoch=step / 9, loss=1.5, lr=1e-5, grad_norm=2.0, num_targets=10,
        num_tokens=100, padding_fraction=0.25, seconds=0.5, **more,
    )  # fmt: skip


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_logged_step_has_what_the_contract_names(tmp_path: Path) -> None:
    tracker(tmp_path).step(report(1, source_losses={"a": 1.0, "b": 2.0}))
    (row,) = rows(tmp_path)
    contract = "step epoch loss lr grad_norm tokens_per_second padding_fraction peak_memory_bytes"
    assert set(contract.split()) <= row.keys()
    assert row["tokens_per_second"] == 200 and row["source_loss"] == {"a": 1.0, "b": 2.0}
    assert row["peak_memory_bytes"] > 1e6


def test_speed_is_over_all_steps_since_the_last_row(tmp_path: Path) -> None:
    open_one = tracker(tmp_path, log_every_steps=3)
    for step in range(1, 7):
        open_one.step(report(step))
    assert [(row["step"], row["tokens_per_second"]) for row in rows(tmp_path)] == [
        (3, 200),
        (6, 200),
    ]


def test_no_number_is_written_as_null(tmp_path: Path) -> None:
    """Standard JSON has no NaN, and readers of other languages refuse it."""
    open_one = tracker(tmp_path)
    open_one.write({"step": 1, "dev_loss": {"all": math.nan, "a": math.inf, "b": 2.0}})
    assert rows(tmp_path) == [{"step": 1, "dev_loss": {"all": None, "a": None, "b": 2.0}}]


def test_lines_past_the_step_and_a_cut_line_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1}\n{"step": 2}\n{"step": 2, "dev_loss": 1}\n{"step": 3}\n{"step": 4, "lo'
    )
    forget_after(path, 2)
    assert rows(tmp_path) == [{"step": 1}, {"step": 2}, {"step": 2, "dev_loss": 1}]
    tracker(tmp_path, done=2).step(report(3))
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 2, 3]


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write_json(path, {"state": "läuft"})
    with pytest.raises(TypeError):
        write_json(path, {"state": object()})
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half \ud800")
    assert json.loads(path.read_text(encoding="utf-8")) == {"state": "läuft"}


CANDIDATES = [
    Candidate(1, 1.0, 2.0, 0.9),
    Candidate(2, 2.0, None, None),
    Candidate(3, 3.0, 1.0, 0.2),
    Candidate(4, 4.0, 1.0, 0.5),
]


@pytest.mark.parametrize(
    ("section", "step"),
    [
        ({"by": "last"}, None),
        ({"by": "loss"}, 3),
        ({"by": "generation"}, 1),
        ({"by": "generation", "first_epoch": 2}, 4),
        ({"by": "loss", "first_epoch": 9}, None),
    ],
)
def test_the_best_is_by_the_recipes_rule_and_never_one_without_a_measure(
    tmp_path: Path, section: dict[str, Any], step: int | None
) -> None:
    choice = Choice(tmp_path / "selection.json", Select.model_validate(section))
    for candidate in CANDIDATES:
        choice.add(candidate, write=True)
    best = choice.best()
    assert (best.step if best else None) == step
    again = reopen(choice.path, choice.section, 3)
    assert again.candidates == CANDIDATES[:3]
    assert again.has(3) and not again.has(4)
    assert not reopen(choice.path, choice.section, 0).candidates
