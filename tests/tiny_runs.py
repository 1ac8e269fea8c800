"""Whole training runs for tests: a recipe over a tiny saved model, run here, in a fork, or anew."""

import hashlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from tiny import tiny_model, tiny_tokenizer

from mmtune.cli import main

ROOT = Path(__file__).resolve().parent.parent


def make_model(folder: Path, kind: str = "llama", **overrides: Any) -> Path:
    """A tiny base model with its tokenizer, as a user would have it on disk."""
    tiny_model(kind, **overrides).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def make_rows(path: Path, count: int, *, longest: int = 6, start: int = 0) -> Path:
    """Instruction rows whose answers differ in length."""
    rows = [
        {
            "id": f"row-{n}",
            "instruction": f"Count to {n % longest + 1} from {n}.",
            "output": " ".join(str(n + k) for k in range(n % longest + 1)),
        }
        for n in range(start, start + count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_recipe(folder: Path, model: Path, rows: Path, **changes: Any) -> Path:
    """A recipe in `folder`; `changes` are dotted keys with `__` for the dots."""
    recipe: dict[str, Any] = {
        "model": {"family": "text", "path": str(model), "gradient_checkpointing": "off"},
        "data": {"path": str(rows), "max_tokens": 64},
        "train": {
            "learning_rate": 1e-2,
            "final_learning_rate": 1e-3,
            "epochs": 2,
            "batch": {"kind": "examples", "count": 4},
            "batching": {"kind": "packed", "row_tokens": 64},
        },
        "samples": {"count": 0},
        "run": {"dir": str(folder / "run"), "tensorboard": False, "threads": 1},
    }
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        section = recipe
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def train(recipe: Path, *overrides: str) -> int:
    """Through the door, in this process; the exit code."""
    return main(["train", str(recipe), *overrides])


def in_fork(action: Callable[[], int]) -> int:
    """Do it in a fork of this process; its exit code, or minus the signal that killed it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = action()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def start(command: Sequence[str], **more: Any) -> "subprocess.Popen[str]":
    """A process of its own, on one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment | more.pop("env", {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def weights_hash(run: Path, name: str = "model.safetensors") -> str:
    return hashlib.sha256((run / "final" / name).read_bytes()).hexdigest()


def metrics(run: Path) -> list[dict[str, Any]]:
    """The rows of the steps; those of the dev set are left out."""
    return [row for row in all_metrics(run) if "lr" in row]


def all_metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def status(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "status.json").read_text())
    return found
