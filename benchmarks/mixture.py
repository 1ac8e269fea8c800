"""Memory and speed of a mixture: a million rows of eight cards read, drawn from and phrased.

    python benchmarks/mixture.py [--rows 1000000] [--few-shot 0.0]

Writes rows of its own to a temporary folder, in the columns of eight shipped cards, and opens a
mixture of them in a process of its own: what reading to disk costs, how many draws and phrasings a
minute on one core, how long a start from the middle takes, and by how much memory grows over the
imports (of the process's own pages; files it reads stay in the kernel's cache). Its last line is
JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_WORDS = (
    "sort these numbers tell me why a red square is left of the blue circle and how many days the "
    "river takes to reach the old harbour of a town that nobody has heard from since last winter"
).split()
_EVERY = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--few-shot", type=float, default=0.0)
    parser.add_argument("--in-child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_child:
        print(json.dumps(measured(given.in_child, given.rows, given.few_shot)))
        return
    with tempfile.TemporaryDirectory(prefix="mmtune-mixture-") as place:
        write_rows(Path(place), given.rows)
        command = [sys.executable, __file__, "--in-child", place, "--rows", str(given.rows)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*command, "--few-shot", str(given.few_shot)],
            env=environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    report(json.loads(done.stdout.splitlines()[-1]))


def write_rows(folder: Path, count: int) -> None:
    random = Random(0)

    def words(low: int, high: int) -> str:
        return " ".join(random.choices(_WORDS, k=random.randint(low, high)))

    each = -(-count // len(CARDS))
    for name, make in CARDS.items():
        (folder / name).mkdir()
        with (folder / name / "train.jsonl").open("w") as file:
            for number in range(each):
                file.write(json.dumps(make(words, number) | {"id": number}) + "\n")


Words = Callable[[int, int], str]


def _pair(first: str, second: str, labels: int) -> Callable[[Words, int], dict[str, Any]]:
    return lambda words, n: {first: words(8, 40), second: words(5, 15), "label": n % labels}


def _squad(words: Words, n: int) -> dict[str, Any]:
    return {"context": words(80, 160), "title": words(1, 3), "question": words(6, 14),
            "answers": {"text": [words(1, 4)]}}  # fmt: skip


def _solved(words: Words, n: int) -> dict[str, Any]:
    return {"question": words(20, 60), "answer": f"{words(20, 60)}\n#### {n}"}


CARDS: dict[str, Callable[[Words, int], dict[str, Any]]] = {
    "snli": _pair("premise", "hypothesis", 3),
    "qqp": lambda words, n: {"question1": words(6, 20), "question2": words(6, 20), "label": n % 2},
    "sst2": lambda words, n: {"sentence": words(5, 30), "label": n % 2},
    "ag_news": lambda words, n: {"text": words(20, 60), "label": n % 4},
    "squad_v1": _squad,
    "xsum": lambda words, n: {"document": words(100, 300), "summary": words(10, 25)},
    "gsm8k": _solved,
    "bool_q": lambda words, n: {
        "question": words(6, 12), "passage": words(60, 120), "answer": n % 2 == 0
    },
}  # fmt: skip


def measured(place: Path, rows: int, few_shot: float) -> dict[str, float]:
    """Open, stream through, start again in the middle; memory is compared with after imports."""
    from mmtune.config.mixtures import Mixture
    from mmtune.workflows.mixture import OpenedMixture
    from mmtune.workflows.reading_cards import Places, open_mixture

    mixture = Mixture.model_validate(
        {
            "name": "bench",
            "cards": list(CARDS),
            "cap": {"examples": rows},
            "rule": {"kind": "temperature", "temperature": 1},
            "formats": {"few_shot": few_shot},
        }
    )
    shipped = ROOT / "datasets_cfg"
    paths = {name: str(place / name) for name in CARDS}
    places = Places(shipped / "cards", shipped / "templates", paths, place / "examples")

    def opened() -> tuple[OpenedMixture, float]:
        started = time.perf_counter()
        return open_mixture(mixture, places, seed=0, watch=iter), time.perf_counter() - started

    before = memory_mb()
    found, reading_s = opened()
    after_reading = memory_mb()
    found, again_s = opened()
    count = found.rows_per_epoch
    passed = timed(found.rows(0))
    drawing_s = timed(found.drawing.draws(0, count))["seconds"]
    started = time.perf_counter()
    next(found.rows(7, count // 2))
    middle_s = time.perf_counter() - started
    return {
        "rows": count,
        "reading_s": reading_s,
        "reading_growth_mb": after_reading["VmHWM"] - before["VmHWM"],
        "opening_again_s": again_s,
        "renderings_a_minute": passed["count"] / passed["seconds"] * 60,
        "draws_a_second": count / drawing_s,
        "middle_s": middle_s,
        "peak_growth_mb": memory_mb()["VmHWM"] - before["VmHWM"],
        "imports_mb": before["VmHWM"],
    }


def timed(rows: Iterator[Any]) -> dict[str, float]:
    started, count = time.perf_counter(), 0
    for _ in rows:
        count += 1
        if count % _EVERY == 0 and sys.stderr.isatty():
            print(f"{count:,}", file=sys.stderr, end="\r")
    return {"count": count, "seconds": time.perf_counter() - started}


def memory_mb() -> dict[str, float]:
    """Resident memory of this process: VmHWM is its peak so far."""
    with open("/proc/self/status") as file:
        pairs = (line.split(":") for line in file if line.startswith(("VmHWM", "Rss")))
        return {name: int(value.split()[0]) * 1024 / 1e6 for name, value in pairs}


def report(found: dict[str, float]) -> None:
    print(f"rows:                   {found['rows']:12,.0f}")
    print(f"read to disk:           {found['reading_s']:12.1f} s, once")
    print(f"opened again:           {found['opening_again_s']:12.2f} s")
    print(f"phrasings a minute:     {found['renderings_a_minute']:12,.0f}")
    print(f"draws a second:         {found['draws_a_second']:12,.0f}")
    print(f"start at epoch 7.5:     {found['middle_s']:12.2f} s")
    print(
        f"growth of peak memory:  {found['peak_growth_mb']:12.0f} MB over the imports' "
        f"{found['imports_mb']:.0f} MB"
    )
    print(json.dumps({k: round(v, 2) for k, v in found.items()}))


if __name__ == "__main__":
    main()
