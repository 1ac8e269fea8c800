"""Packing speed: a million lengths into rows of 2,048 tokens, ours and (where it is there) TRL's.

    python benchmarks/packing.py [--count 1000000] [--trl-count 100000]

Lengths are drawn, with replacement, from those of Alpaca's rows (characters / 4.2 as tokens) where
`MMTUNE_SHARED` names a folder that has them; else from a lognormal fit of the same. The last line
is JSON.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mmtune.encoding.packing import best_fit_decreasing  # noqa: E402

CAPACITY = 2048
CHARACTERS_PER_TOKEN = 4.2
FIT = (4.30, 0.80)
"""Mean and spread of the logarithm of Alpaca's lengths in tokens."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument(
        "--trl-count", type=int, default=100_000, help="TRL takes seconds for these"
    )
    given = parser.parse_args()
    lengths, where = drawn_lengths(given.count)
    print(f"{given.count:,} lengths from {where}: mean {lengths.mean():.0f}, max {lengths.max()}")
    result = {"mmtune": ours(lengths)}
    if importlib.util.find_spec("trl") is not None:
        some = lengths[: given.trl_count]
        result |= {"mmtune_on_trl_count": ours(some), "trl": trls(some)}
    else:
        print("trl is not installed here: nothing to compare with")
    print(json.dumps(result))


def drawn_lengths(count: int) -> tuple[np.ndarray, str]:
    rng = np.random.default_rng(0)
    pool = Path(os.environ.get("MMTUNE_SHARED", ROOT.parent / "shared"))
    pool = pool / "data" / "text" / "alpaca_22k" / "pool.jsonl"
    if not pool.exists():
        draws = rng.lognormal(*FIT, count)
        return np.clip(draws.astype(np.int64), 4, CAPACITY), "a lognormal fit of Alpaca"
    with open(pool, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    characters = [
        sum(len(row.get(k) or "") for k in ("instruction", "input", "output")) for row in rows
    ]
    tokens = np.clip(np.array(characters) / CHARACTERS_PER_TOKEN + 3, 4, CAPACITY)
    return rng.choice(tokens.astype(np.int64), count), f"{len(rows):,} Alpaca rows"


def ours(lengths: np.ndarray) -> dict[str, float]:
    wall, start = time.perf_counter(), time.process_time()
    rows = best_fit_decreasing(lengths, CAPACITY)
    spent, wall = time.process_time() - start, time.perf_counter() - wall
    held = np.concatenate(rows)
    assert len(held) == len(lengths) and len(np.unique(held)) == len(lengths)
    assert max(int(lengths[row].sum()) for row in rows) <= CAPACITY
    return told("mmtune", len(lengths), len(rows), int(lengths.sum()), spent, wall)


def trls(lengths: np.ndarray) -> dict[str, float]:
    """Its packing on the whole table at once; as it is called in training, on 1,000 rows at a time,
    it is faster and fills rows less."""
    import pyarrow as pa
    from trl.data_utils import _pack_bfd

    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = pa.LargeListArray.from_arrays(offsets, np.zeros(offsets[-1], dtype=np.int32))
    table = pa.Table.from_arrays([ids], names=["input_ids"])
    wall, start = time.perf_counter(), time.process_time()
    packed = _pack_bfd(table, CAPACITY)
    spent, wall = time.process_time() - start, time.perf_counter() - wall
    return told("trl", len(lengths), len(packed), int(lengths.sum()), spent, wall)


def told(
    name: str, count: int, rows: int, tokens: int, seconds: float, wall: float
) -> dict[str, float]:
    padding = 1 - tokens / (rows * CAPACITY)
    print(
        f"{name:<8}{count:>10,} lengths -> {rows:>7,} rows, {seconds:7.3f} s of CPU "
        f"({wall:.3f} s), padding {padding:.4%}"
    )
    return {
        "lengths": count,
        "rows": rows,
        "cpu_s": round(seconds, 3),
        "wall_s": round(wall, 3),
        "padding": round(padding, 6),
    }


if __name__ == "__main__":
    main()
