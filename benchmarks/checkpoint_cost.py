"""What a checkpoint every ten steps costs a run.

    python benchmarks/checkpoint_cost.py [--steps 1000] [--rounds 1] [--threads 1]

LIMA's recipe on the embedded model, in turn without checkpoints but the last and with one every ten
steps, each in a process of its own. Wall seconds are those between the first and the last step's
lines of metrics.jsonl; CPU seconds are the process's. The last line is JSON.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile

RUN = """
import json, sys, time
from mmtune.workflows import train
from mmtune.config.load import load_recipe
from pathlib import Path
steps = train.training_steps
def timed(*given):
    began = None
    for report in steps(*given):
        now = time.perf_counter(), time.process_time()
        began = began or now
        yield report
    train.spent = [b - a for a, b in zip(began, (time.perf_counter(), time.process_time()))]
train.training_steps = timed
train.run(load_recipe(Path(sys.argv[1]), sys.argv[2:]))
print("SPENT", json.dumps(train.spent))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as cores")
    given = parser.parse_args()
    spent: dict[int, list[list[float]]] = {0: [], 10: []}
    for number in range(given.rounds):
        for every in (0, 10) if number % 2 == 0 else (10, 0):
            spent[every].append(run(given.steps, every, given.threads))
            wall, cpu = spent[every][-1]
            print(f"checkpoint every {every or given.steps}: {wall:.1f} s wall, {cpu:.1f} s CPU")
            sys.stdout.flush()
    without, with_them = (
        [statistics.median(row[kind] for row in spent[every]) for kind in (0, 1)]
        for every in (0, 10)
    )
    slower = [b / a - 1 for a, b in zip(without, with_them, strict=True)]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    result = {"steps": given.steps, "slower_wall": slower[0], "slower_cpu": slower[1]}
    print(json.dumps({k: round(v, 4) for k, v in result.items()} | {"peak_kib": peak}))


def run(steps: int, every: int, threads: int) -> list[float]:
    """Wall and CPU seconds from the end of the first step to the end of the last."""
    with tempfile.TemporaryDirectory(prefix="checkpoint_cost-") as folder:
        overrides = [
            f"run.dir={folder}/run",
            f"run.threads={threads}",
            f"train.max_steps={steps}",
            f"train.save_every_steps={every or steps}",
            "train.select.by=last",
            "data.dev=[]",
            "test.sources=[]",
            "samples.count=0",
        ]
        command = [sys.executable, "-c", RUN, "configs/lima_text.yaml", *overrides]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
    line = next(line for line in ended.stdout.splitlines() if line.startswith("SPENT"))
    return list(json.loads(line.removeprefix("SPENT")))


if __name__ == "__main__":
    main()
