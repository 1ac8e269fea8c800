"""Peak memory and speed of training on a file that is streamed, or encoded whole beforehand.

    python benchmarks/streaming_memory.py [--rows 100000] [--whole]

Writes rows of its own to a temporary folder, trains a tiny Llama on all of them once, in a process
of its own, and prints what the imports alone cost, the peak, and the difference. Its last line is
JSON. Memory is resident memory as Linux counts it: `mapped` is pages of files (of shared libraries
mostly), which the kernel may take back, `own` is the rest.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STEP_ROWS = 500
_WORDS = "sort these numbers tell me why a red square is left of the blue circle and how".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--whole", action="store_true", help="encode before training, no stream")
    parser.add_argument("--in-child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_child:
        print(json.dumps(measured(given.in_child)))
        return
    with tempfile.TemporaryDirectory(prefix="mmtune-streaming-") as place:
        folder = Path(place)
        write_rows(folder / "rows.jsonl", given.rows)
        recipe = write_recipe(folder, given.rows, streaming=not given.whole)
        found = in_child(recipe)
    report(found | {"rows": given.rows, "streaming": not given.whole})


def write_rows(path: Path, count: int) -> None:
    """Instruction rows of 10 to 60 words, one in 1,000 of them broken."""
    random = Random(0)
    with path.open("w") as file:
        for number in range(count):
            asked, answer = (random.choices(_WORDS, k=random.randint(5, 30)) for _ in range(2))
            row = {"id": f"r{number}", "instruction": " ".join(asked), "output": " ".join(answer)}
            file.write("{broken\n" if number % 1000 == 999 else json.dumps(row) + "\n")


def write_recipe(folder: Path, rows: int, *, streaming: bool, window: int = 50_000) -> Path:
    steps = -(-(rows - rows // 1000) // STEP_ROWS)
    (folder / "x.yaml").write_text(
        f"model: {{family: text, path: {folder}/model, gradient_checkpointing: 'off'}}\n"
        f"data: {{path: {folder}/rows.jsonl, max_tokens: 512, "
        f"streaming: {json.dumps(streaming)}, window_rows: {window}}}\n"
        f"train: {{max_steps: {steps}, batch: {{kind: examples, count: {STEP_ROWS}}},\n"
        "  batching: {row_tokens: 1024}}\n"
        "samples: {count: 0}\n"
        f"run: {{dir: {folder}/run, tensorboard: false, threads: 1}}\n"
    )
    return folder / "x.yaml"


def in_child(recipe: Path) -> dict[str, float]:
    settings = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}
    environment = os.environ | settings
    command = [sys.executable, __file__, "--in-child", str(recipe)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(recipe: Path) -> dict[str, float]:
    """Train, watching this process's memory. Imports, and making the model, come before."""
    import torch

    after_torch = memory_mb()["VmHWM"]
    make_model(recipe.parent / "model", torch)
    import mmtune.families.text
    import mmtune.workflows.train  # noqa: F401
    from mmtune.cli import main as through_the_door

    before = memory_mb()
    peaks, stop = {"RssAnon": 0.0, "RssFile": 0.0}, threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            now = memory_mb()
            peaks.update({name: max(peak, now[name]) for name, peak in peaks.items()})

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    started = time.perf_counter()
    code = through_the_door(["train", str(recipe)])
    seconds = time.perf_counter() - started
    stop.set()
    watcher.join()
    if code:
        raise SystemExit(f"training ended with {code}")
    return {
        "torch_alone_mb": after_torch,
        "imports_mb": before["VmHWM"],
        "imports_own_mb": before["RssAnon"],
        "peak_mb": memory_mb()["VmHWM"],
        "growth_mb": memory_mb()["VmHWM"] - before["VmHWM"],
        "growth_own_mb": peaks["RssAnon"] - before["RssAnon"],
        "growth_mapped_mb": peaks["RssFile"] - before["RssFile"],
        "seconds": seconds,
    }


def make_model(folder: Path, torch) -> None:  # type: ignore[no-untyped-def]
    """A Llama of 2 layers and width 32 with the embedded model's tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from mmtune.pocket.shipped import weights_folder

    tokenizer = AutoTokenizer.from_pretrained(weights_folder("lm"))
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), num_attention_heads=4, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def memory_mb() -> dict[str, float]:
    """Resident memory of this process: VmHWM is its peak so far, RssAnon and RssFile its parts."""
    with open("/proc/self/status") as file:
        pairs = (line.split(":") for line in file if line.startswith(("VmHWM", "Rss")))
        return {name: int(value.split()[0]) * 1024 / 1e6 for name, value in pairs}


def report(found: dict[str, float]) -> None:
    rows, seconds = found["rows"], found["seconds"]
    print(f"import torch alone:    {found['torch_alone_mb']:7.0f} MB")
    print(f"all imports:           {found['imports_mb']:7.0f} MB")
    print(f"peak while training:   {found['peak_mb']:7.0f} MB")
    print(
        f"growth over imports:   {found['growth_mb']:7.0f} MB "
        f"(own {found['growth_own_mb']:.0f}, mapped files {found['growth_mapped_mb']:.0f})"
    )
    print(f"rows trained a second: {rows / seconds:7.0f} ({rows:,.0f} rows in {seconds:.0f} s)")
    print(json.dumps({k: round(v, 1) for k, v in found.items()}))


if __name__ == "__main__":
    main()
