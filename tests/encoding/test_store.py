"""What goes into a store comes out of it, and a store cut short is never taken for a whole one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmtune.encoding.samples import TokenSample
from mmtune.encoding.store import is_complete, open_store, write_store


def samples(count: int) -> list[TokenSample]:
    rng = np.random.default_rng(0)
    return [
        TokenSample(
            rng.integers(0, 2**31 - 1, n := int(rng.integers(1, 9)), dtype=np.int32),
            rng.random(n) < 0.5,
            f"quelle ä/{number}",
            f"source-{number % 3}",
        )
        for number in range(count)
    ]


def batches(written: list[TokenSample]) -> Iterator[list[TokenSample]]:
    yield written[:3]
    yield []
    yield written[3:]


def test_every_sample_comes_back_as_it_was(tmp_path: Path) -> None:
    written = samples(20)
    write_store(tmp_path / "new" / "store", batches(written))
    store = open_store(tmp_path / "new" / "store")
    assert len(store) == 20 and store.sources == ("source-0", "source-1", "source-2")
    for number, sample in enumerate(written):
        again = store.sample(number)
        assert np.array_equal(again.ids, sample.ids)
        assert np.array_equal(again.supervised, sample.supervised)
        assert (again.example_id, again.source) == (sample.example_id, sample.source)
    assert store.lengths.tolist() == [len(s.ids) for s in written]
    assert store.num_targets.tolist() == [int(s.supervised[1:].sum()) for s in written]


def test_a_store_that_is_open_stays_as_it_is_when_another_takes_its_place(tmp_path: Path) -> None:
    """Ranks may still read a window when the next is written; written into, it would change."""
    before = write_store(tmp_path, [samples(200)])
    ids = before.ids.copy()
    after = write_store(tmp_path, [samples(3)])
    assert len(after) == 3 and np.array_equal(before.ids, ids)
    assert before.example_id(199) == "quelle ä/199"


def test_an_empty_store_opens(tmp_path: Path) -> None:
    assert len(write_store(tmp_path, [])) == 0


def test_a_store_whose_writer_died_is_not_complete(tmp_path: Path) -> None:
    def dying() -> Iterator[list[TokenSample]]:
        yield samples(3)  # as many bytes as the store before
        raise KeyboardInterrupt

    write_store(tmp_path, [samples(3)])
    assert is_complete(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path, dying())
    assert not is_complete(tmp_path)


@pytest.mark.parametrize(
    "name", ["ids.bin", "supervised.bin", "example_ids.bin", "offsets.npy", "num_targets.npy"]
)
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_store_that_lost_a_part_is_not_complete(tmp_path: Path, name: str, how: str) -> None:
    """As a full disk or a power cut leaves it: the marker there, the data not."""
    write_store(tmp_path, [samples(50)])
    content = (tmp_path / name).read_bytes()
    if how == "cut":
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    else:
        (tmp_path / name).unlink()
    assert not is_complete(tmp_path)


def test_a_broken_marker_is_not_complete(tmp_path: Path) -> None:
    write_store(tmp_path, [samples(5)])
    (tmp_path / "store.json").write_text("")
    assert not is_complete(tmp_path)
