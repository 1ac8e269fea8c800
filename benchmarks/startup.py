"""Where the time goes from the command to the first optimizer step, and what the doors cost.

    python benchmarks/startup.py [CONFIG.yaml] [key=value ...]

The recipe is the embedded one by default, in a folder of its own. Stages are seen from outside: a
process runs the recipe and notes when each of its parts began. The last line is JSON, in seconds.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STAGES = (  # (module, function): its time is that of all its calls before the first step is done
    ("mmtune.config.load", "load_recipe"),
    ("mmtune.families.text", "load"),
    ("mmtune.workflows.session", "gather"),
    ("mmtune.workflows.session", "make_room"),
    ("mmtune.workflows.session", "fit_longest_batch"),
    ("mmtune.workflows.session", "try_first_batch"),
    ("mmtune.workflows.train", "marks_before"),
    ("mmtune.workflows.train", "measure_start"),
)


class FirstStepDone(BaseException):
    """Ends the run from within; nothing in the house catches it."""


def main() -> None:
    if sys.argv[1:2] == ["--in-child"]:
        print(json.dumps(first_step(sys.argv[2:])))
        return
    found: dict[str, float] = {
        "import_mmtune": seconds_of("-c", "import mmtune"),
        "help": seconds_of("-m", "mmtune", "--help"),
        "python_alone": seconds_of("-c", "pass"),
    }
    recipe = sys.argv[1:] or [str(ROOT / "configs" / "lima_text.yaml")]
    with tempfile.TemporaryDirectory(prefix="mmtune-startup-") as folder:
        told = run("benchmarks/startup.py", "--in-child", *recipe, f"run.dir={folder}/run")
    found |= json.loads(told.splitlines()[-1])
    for name, seconds in found.items():
        print(f"{name:<24}{seconds:7.2f} s")
    print(json.dumps({name: round(seconds, 3) for name, seconds in found.items()}))


def seconds_of(*command: str) -> float:
    """The quickest of three."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        run(*command)
        times.append(time.perf_counter() - started)
    return min(times)


def run(*command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def first_step(arguments: list[str]) -> dict[str, float]:
    """Train until the first step is done; seconds of imports, of each stage, and of all."""
    times: dict[str, float] = {}
    started = time.perf_counter()
    from mmtune.config.load import load_recipe

    recipe = load_recipe(Path(arguments[0]), arguments[1:])
    times["recipe read"] = time.perf_counter() - started
    import_module("mmtune.families.text")
    train: Any = import_module("mmtune.workflows.train")

    imported = time.perf_counter()
    times["imports"] = imported - started
    for module, name in STAGES:
        if hasattr(sys.modules[module], name):
            time_calls(sys.modules[module], name, times)
    steps = train.training_steps

    def one_step(*given: Any, **named: Any) -> Any:
        for _ in steps(*given, **named):
            raise FirstStepDone
        yield

    train.training_steps = one_step
    begun = time.perf_counter()
    try:
        train.run(recipe)
    except FirstStepDone:
        pass
    times["after imports, in all"] = time.perf_counter() - begun
    return times


def time_calls(module: Any, name: str, times: dict[str, float]) -> None:
    """Add up the time of a module's function as that module calls it."""
    whole: Callable[..., Any] = getattr(module, name)

    def timed(*given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return whole(*given, **named)
        finally:
            times[f"  {name}"] = times.get(f"  {name}", 0.0) + time.perf_counter() - started

    setattr(module, name, timed)


if __name__ == "__main__":
    main()
