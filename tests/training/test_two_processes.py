"""Two processes over gloo do what one does: the same losses, the same weights up to float noise.

Steps of 5 examples in rows of 48 tokens give odd numbers of rows, so that one rank runs out of
them and does a batch without targets; the last step of an epoch has a single row.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from many_ranks import launch, relative_distance
from tiny_runs import (
    all_metrics,
    in_fork,
    make_model,
    make_rows,
    metrics,
    status,
    train,
    write_recipe,
)

from mmtune.config.load import load_recipe
from mmtune.encoding.schedule import Schedule, share
from mmtune.encoding.store import open_store


def launched(recipe: Path, *overrides: str) -> tuple[int, str]:
    process = launch(2, recipe, *overrides)
    try:
        out, err = process.communicate(timeout=150)
    finally:
        process.kill()
    return process.returncode, out + err


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("ranks")
    rows = make_rows(folder / "rows.jsonl", 21)
    dev = make_rows(folder / "dev.jsonl", 5, start=40)
    return {
        "model": make_model(folder / "model"),
        "rows": rows,
        "data__dev": [{"path": str(dev)}],
        "data__max_tokens": 48,
        "test__sources": [{"path": str(dev), "name": "exam"}],
        "test__max_new_tokens": 4,
        "train__batch": {"kind": "examples", "count": 5},
        "train__batching": {"kind": "packed", "row_tokens": 48},
        # Adam's first steps are signs: where a gradient is noise about 0, they would magnify it.
        "train__learning_rate": 1e-3,
        "train__neftune_alpha": 5.0,
        "folder": folder,
    }


def ranks_run_out(run: Path) -> bool:
    """Whether some step gives one of two ranks more rows than the other."""
    store = open_store(run / "encoded" / "train")
    section = load_recipe(run / "recipe.yaml").train
    plan = Schedule(store.lengths, section.batch, section.batching, section.seed)
    return any(
        any(row is None for row in share(step, store.lengths, rank, 2))
        for step in plan.steps(0)
        for rank in (0, 1)
    )


@pytest.mark.slow
def test_two_processes_do_what_one_does(settings: dict[str, Any]) -> None:
    given = dict(settings)
    folder: Path = given.pop("folder")
    model, rows = given.pop("model"), given.pop("rows")
    one = write_recipe(folder / "one", model, rows, **given)
    two = write_recipe(folder / "two", model, rows, **given)
    assert in_fork(lambda: train(one)) == 0
    code, told = launched(two)
    assert code == 0, told
    runs = one.parent / "run", two.parent / "run"
    assert ranks_run_out(runs[0])
    assert relative_distance(*runs) < 1e-5
    ours, theirs = (metrics(run) for run in runs)
    assert [row["step"] for row in ours] == [row["step"] for row in theirs] == list(range(1, 11))
    for key in ("loss", "grad_norm", "lr", "num_targets", "padding_fraction"):
        wanted = pytest.approx([row[key] for row in ours], rel=1e-4)
        assert [row[key] for row in theirs] == wanted, key
    dev = [[row["dev_loss"]["all"] for row in all_metrics(r) if "dev_loss" in row] for r in runs]
    assert len(dev[0]) == 3 and dev[0] == pytest.approx(dev[1], rel=1e-4)
    marks = [json.loads((run / "test.json").read_text()) for run in runs]
    ids = [[mark["example_id"] for mark in m["answers"]] for m in marks]
    assert len(ids[0]) == 5 and ids[0] == ids[1]
    assert [status(run)["state"] for run in runs] == ["finished"] * 2
    assert told.count("21 rows: 21 kept") == 1, "the second rank prints too"
    # And what only the ranks can get wrong: resuming on both, and a refusal told of once.
    code, told = launched(two, "train.resume=auto", "train.max_steps=12")
    assert code == 0 and "going on from step-10" in told, told
    assert [row["step"] for row in metrics(runs[1])] == list(range(1, 13))
