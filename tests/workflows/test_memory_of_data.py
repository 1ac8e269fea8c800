"""However many rows there are, memory holds a few of them."""

import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_tokenizer
from tiny_runs import ROOT

from mmtune.config.recipe import Recipe
from mmtune.encoding.chat_format import chat_format
from mmtune.encoding.samples import TokenSample
from mmtune.encoding.store import write_store
from mmtune.workflows import dataset
from mmtune.workflows.dataset import open_data, training_store

sys.path.insert(0, str(ROOT / "benchmarks"))


@pytest.fixture
def peak_bytes() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_a_stream_of_many_windows_grows_little_above_its_imports(tmp_path: Path) -> None:
    import streaming_memory  # the benchmark, with fewer rows

    streaming_memory.write_rows(tmp_path / "rows.jsonl", 3_000)
    recipe = streaming_memory.write_recipe(tmp_path, 3_000, streaming=True, window=500)
    found = streaming_memory.in_child(recipe)
    assert found["growth_own_mb"] < 100  # 40 seen, most of it the model's and the optimizer's


def test_a_store_takes_bytes_and_no_objects_for_a_sample(tmp_path: Path, peak_bytes: None) -> None:
    ids, count = np.arange(4, dtype=np.int32), 20_000

    def batches() -> Iterator[list[TokenSample]]:
        for number in range(count):
            yield [TokenSample(ids, ids > 1, f"a/{number}", "a")]

    tracemalloc.reset_peak()
    write_store(tmp_path, batches())
    assert tracemalloc.get_traced_memory()[1] < 80 * count  # lists of numbers take 150


def test_rows_that_are_dropped_are_not_held(
    tmp_path: Path, peak_bytes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 4_000
    (tmp_path / "rows.jsonl").write_text(
        '{"prompt": "a", "completion": "b"}\n' + "{broken\n" * count
    )
    recipe = Recipe.model_validate(
        {
            "model": {"family": "text", "path": "unused"},
            "data": {"path": str(tmp_path / "rows.jsonl"), "max_bad_rows_fraction": 1},
            "run": {"dir": str(tmp_path / "run")},
        }
    )
    fmt = chat_format(tiny_tokenizer(), "auto", "assistant")
    opened = open_data(recipe, tmp_path)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    _, accounts = training_store(recipe, opened, fmt, tmp_path / "e" / "train", lambda x: x)
    assert tracemalloc.get_traced_memory()[1] - before < 100 * count  # held, each takes 400
    assert accounts.of("rows.jsonl").dropped == count
    assert (tmp_path / "ledger.jsonl").read_text().count("\n") == count


def test_a_marker_cut_short_by_a_kill_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "accounts.json").write_text('{"key": "x", "cou')
    assert dataset._read_accounts(tmp_path / "accounts.json", "x") is None
