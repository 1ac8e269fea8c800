"""Kill a run again and again, at random moments and inside saves, and compare what comes out.

    python benchmarks/kill_anywhere.py [--kills 20] [--seed 0] [--threads 2]

Trains the embedded model (dropout on, packed, several micro-batches a step, a checkpoint every
second step) once without disturbance, and once with SIGKILL at random moments, each followed by
the same command again. The weights must be the same to the bit, and each step logged once.
Prints a line per kill; the last line is JSON.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """
model: {family: text, path: "pocket:lm", residual_dropout: 0.3}
data: {path: "pocket:instructions/clean", max_tokens: 512}
train:
  max_steps: 60
  batch: {kind: examples, count: 24}
  batching: {kind: packed, row_tokens: 512}
  learning_rate: 1.0e-3
  neftune_alpha: 5
  save_every_steps: 2
  keep_last: 2
  resume: auto
samples: {count: 0}
run: {dir: DIR, tensorboard: false, threads: THREADS}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as cores")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill_anywhere-") as folder:
        return compare(Path(folder), given.kills, random.Random(given.seed), given.threads)


def compare(folder: Path, kills: int, draw: random.Random, threads: int) -> int:
    whole = recipe_in(folder / "whole", threads)
    begun = time.monotonic()
    assert start(whole).wait() == 0, "the undisturbed run failed; see its log"
    spent = time.monotonic() - begun
    print(f"undisturbed: {spent:.0f} s", flush=True)
    other = recipe_in(folder / "killed", threads)
    inside = sum(kill_once(other, number, draw) for number in range(1, kills + 1))
    assert start(other).wait() == 0, "the last start failed; see its log"
    runs = [path.parent / "run" for path in (whole, other)]
    result = {
        "kills": kills,
        "inside_a_save": inside,
        "threads": threads or os.cpu_count(),
        "same_weights": weights_hash(runs[0]) == weights_hash(runs[1]),
        "each_step_once": losses(runs[0]) == losses(runs[1]),
    }
    print(json.dumps(result))
    return 0 if result["same_weights"] and result["each_step_once"] else 1


def recipe_in(folder: Path, threads: int) -> Path:
    folder.mkdir()
    path = folder / "recipe.yaml"
    text = RECIPE.replace("DIR", str(folder / "run")).replace("THREADS", str(threads))
    path.write_text(text)
    return path


def start(recipe: Path) -> subprocess.Popen[bytes]:
    with open(recipe.parent / "log.txt", "ab") as log:
        command = [sys.executable, "-m", "mmtune.train", str(recipe)]
        return subprocess.Popen(command, stdout=log, stderr=log)


def kill_once(recipe: Path, number: int, draw: random.Random) -> bool:
    """Start, let it come a few steps further, and kill it; whether it was writing a checkpoint.
    Every other time it is, if it can be caught at it."""
    run = recipe.parent / "run"
    process, before = start(recipe), last_step(run)
    while last_step(run) < before + 2 and process.poll() is None:
        time.sleep(0.005)
    if number % 2:
        time.sleep(draw.uniform(0, 0.5))
    else:
        deadline = time.monotonic() + 20
        while not being_written(run) and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(draw.uniform(0, 0.02))
    process.send_signal(signal.SIGKILL)
    process.wait()
    inside = being_written(run)
    print(f"kill {number}: at step {last_step(run)}" + (", inside a save" if inside else ""))
    sys.stdout.flush()
    return inside


def being_written(run: Path) -> bool:
    return any((run / "checkpoints").glob("step-*.tmp-*"))


def last_step(run: Path) -> int:
    rows = steps(run)
    return rows[-1]["step"] if rows else 0


def steps(run: Path) -> list[dict[str, float]]:
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue  # it is being written
    return [row for row in rows if "lr" in row]


def losses(run: Path) -> list[tuple[float, float]]:
    return [(row["step"], row["loss"]) for row in steps(run)]


def weights_hash(run: Path) -> str:
    return hashlib.sha256((run / "final" / "model.safetensors").read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
