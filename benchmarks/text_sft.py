"""Text tuning on a CPU: mmtune, a bare torch loop, transformers' Trainer and TRL, in turn.

    OMP_NUM_THREADS=1 python benchmarks/text_sft.py [--quick] [--rounds 3] [--only NAME ...]

Each runs in a process of its own, on one thread, in float32, on the same model, rows and settings;
rounds are interleaved. Figures are real tokens (padding left out) per second of CPU time, once
steady. The last line is JSON. See README.md here for what is needed.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from text_contenders import MEGABATCH_STEPS, NAMES, TRL_SETTINGS  # noqa: E402

from mmtune.families.fresh import LanguageModelShape  # noqa: E402
from mmtune.workflows.bench_rows import as_trained, bench_rows, write_bench  # noqa: E402

SHAPE = LanguageModelShape(8192, 256, 6, 4, 688)  # 6.84 M parameters
HELD_OUT = 40
QUICK = ["bare loop", "mmtune", "trainer grouped", "trl grouped", "trl packed bfd 1x1024"]
CLOSE = ["bare loop", "mmtune"]
SAME_LOSS = 1e-3

Results = dict[str, list[dict[str, Any]]]


def main() -> None:
    given = arguments()
    names = given.only or [n for n in (QUICK if given.quick else NAMES) if chosen(n, given)]
    # A group by length is 50 batches, but never more than an eighth of the rows.
    rows = given.rows or (640 if given.quick else 2000)
    megabatch = min(MEGABATCH_STEPS, rows // 32)
    budget = given.budget or (12_000 if given.quick else 24_000)
    results: Results = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        write_material(Path(folder), rows)
        for number in range(given.rounds or (1 if given.quick else 2)):
            for name in names:
                # The two that are compared most closely are the fastest: they get twice the tokens.
                share = budget * (2 if name in CLOSE else 1)
                result = contend(name, Path(folder), share, megabatch)
                results[name].append(result)
                print(f"round {number + 1}, {name}: {speed(result):,.0f} tokens/s", flush=True)
    check_same_work(results)
    print_table(results)
    print(json.dumps(summary(results)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="a few settings, few steps, one round: ~3 minutes")
    add("--rounds", type=int, default=0)
    add("--rows", type=int, default=0, help="of the data set (2,000)")
    add("--budget", type=int, default=0, help="real tokens of each run that is in random order")
    add("--only", nargs="+", choices=NAMES, help="these settings only")
    add("--defaults", action="store_true", help="also TRL's literal defaults, 70 times slower")
    return parser.parse_args()


def chosen(name: str, given: argparse.Namespace) -> bool:
    if name == "trl literal defaults":
        return given.defaults
    return name not in TRL_SETTINGS or importlib.util.find_spec("trl") is not None


def write_material(folder: Path, count: int) -> None:
    rows = bench_rows(count + HELD_OUT, seed=0)
    write_bench(folder, rows[:count], SHAPE)
    for name, part in (("trl", rows[:count]), ("held_out", rows[count:])):
        lines = (json.dumps(as_trained(row)) + "\n" for row in part)
        (folder / f"{name}.jsonl").write_text("".join(lines))


def contend(name: str, folder: Path, budget: int, megabatch: int) -> dict[str, Any]:
    """One contender in a fresh process; what it says is shown where it fails."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        command = [sys.executable, str(HERE / "text_contenders.py"), name, str(folder)]
        done = subprocess.run(
            [*command, str(budget), str(megabatch), out],
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return json.loads((Path(out) / "result.json").read_text())


def speed(result: dict[str, Any]) -> float:
    return result["tokens"] / result["cpu_s"]


def check_same_work(results: Results) -> None:
    """mmtune and the bare loop are on the same rows from the same weights: so are their losses."""
    pairs = zip(results.get("mmtune", []), results.get("bare loop", []), strict=False)
    for ours, bare in pairs:
        apart = max(abs(a - b) for a, b in zip(ours["losses"], bare["losses"], strict=True))
        assert apart < SAME_LOSS, f"mmtune and the bare loop differ by {apart} in their losses"


def print_table(results: Results) -> None:
    heads = ["setting", "tok/s best", "median", "wall", "to bare", "fill", "GB", "loss", "prep s"]
    print("\n" + row_of(heads))
    limit = best(results.get("bare loop"))
    for name, runs in sorted(results.items(), key=lambda item: -(best(item[1]) or 0)):
        one = max(runs, key=speed)
        cells = [
            name,
            f"{speed(one):,.0f}",
            f"{statistics.median(map(speed, runs)):,.0f}",
            f"{max(r['tokens'] / r['wall_s'] for r in runs):,.0f}",
            f"{speed(one) / limit:.2f}" if limit else "",
            f"{one['tokens'] / one['slots']:.2f}",
            f"{max(r['peak_bytes'] for r in runs) / 1e9:.2f}",
            f"{one['held_out_loss']:.3f}",
            f"{min(r['preparation_s'] for r in runs):.2f}",
        ]
        print(row_of(cells))


def row_of(cells: list[str]) -> str:
    return f"{cells[0]:<27}" + "".join(f"{cell:>11}" for cell in cells[1:])


def best(runs: list[dict[str, Any]] | None) -> float | None:
    return max(map(speed, runs)) if runs else None


def summary(results: Results) -> dict[str, Any]:
    """Ratios of best figures, and of medians; null where a side did not run."""
    peers = [name for name in results if name in TRL_SETTINGS]
    top = max(peers, key=lambda name: best(results[name]) or 0, default="")

    def ratio(other: str, of: Any = max) -> float | None:
        if not (results.get("mmtune") and results.get(other)):
            return None
        return round(of(map(speed, results["mmtune"])) / of(map(speed, results[other])), 3)

    def preparation(name: str) -> float | None:
        runs = results.get(name)
        return round(min(run["preparation_s"] for run in runs), 3) if runs else None

    return {
        "ratio_to_trl_best": ratio(top),
        "ratio_to_bare_loop": ratio("bare loop"),
        "ratio_to_trainer_grouped": ratio("trainer grouped"),
        "medians": {
            "ratio_to_trl_best": ratio(top, statistics.median),
            "ratio_to_bare_loop": ratio("bare loop", statistics.median),
            "ratio_to_trainer_grouped": ratio("trainer grouped", statistics.median),
        },
        "trl_best": top or None,
        "tokens_per_cpu_second": {
            n: [round(speed(r), 1) for r in runs] for n, runs in results.items()
        },
        "peak_gb": {
            n: round(max(r["peak_bytes"] for r in runs) / 1e9, 2) for n, runs in results.items()
        },
        "held_out_loss": {n: round(runs[-1]["held_out_loss"], 4) for n, runs in results.items()},
        "preparation_s": {n: preparation(n) for n in results},
    }


if __name__ == "__main__":
    main()
