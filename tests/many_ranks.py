"""Runs on several processes for tests: forks joined over gloo, or those of `accelerate launch`."""

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from safetensors.torch import load_file
from tiny_runs import start, train

Plant = Callable[[int], None]
"""Changes something in a fork before it trains; it is given the fork's rank."""


def in_forks(count: int, recipe: Path, *overrides: str, plant: Plant = lambda _: None) -> list[int]:
    """Train on `count` ranks; their exit codes, or minus the signals that killed them.

    A start in forks takes a second instead of ten, and no launcher stands between us and the codes.
    """
    port = free_port()
    sys.stdout.flush()
    children = []
    for rank in range(count):
        if (child := os.fork()) == 0:
            _become(rank, count, port, lambda: plant(rank), recipe, overrides)  # noqa: B023
        children.append(child)
    return [wait(child, 60) for child in children]


def _become(
    rank: int,
    count: int,
    port: int,
    plant: Callable[[], None],
    recipe: Path,
    overrides: Sequence[str],
) -> None:
    code = 99
    try:
        if count > 1:
            os.environ |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
                "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1",
            }  # fmt: skip
        AcceleratorState._reset_state(True)
        PartialState._reset_state()
        plant()
        code = train(recipe, *overrides)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, seconds: float) -> int:
    """The exit code of a fork, which is killed where it takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError(f"process {child} still ran after {seconds} s")


def launch(count: int, recipe: Path, *overrides: str) -> Any:
    """`accelerate launch` of so many processes, as a user would on CPUs; its process."""
    command = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(count)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(free_port()), "-m", "mmtune.train", str(recipe)]
    return start([*command, *overrides], env={"ACCELERATE_USE_CPU": "true"})


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("localhost", 0))
        port: int = sock.getsockname()[1]
        return port


def ranks_of(launcher: Any) -> dict[int, int]:
    """Rank -> process id of the processes that a launcher started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher.pid:
                lines = (folder / "environ").read_text().split("\0")
                found.update({int(x[5:]): int(folder.name) for x in lines if x.startswith("RANK=")})
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


def distance_learnt(one: Path, other: Path, base: Path) -> float:
    """How far the weights of two runs are apart, in parts of how far the second moved them."""
    a, b = (load_file(run / "final" / "model.safetensors") for run in (one, other))
    start = load_file(base / "model.safetensors")
    assert a.keys() == b.keys() == start.keys()
    return _distance(a, b) / _distance(start, b)


def relative_distance(one: Path, other: Path) -> float:
    """|a - b| / |b| over all weights of two runs."""
    a, b = (load_file(run / "final" / "model.safetensors") for run in (one, other))
    assert a.keys() == b.keys()
    return _distance(a, b) / _distance({n: torch.zeros_like(b[n]) for n in b}, b)


def _distance(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> float:
    return float(sum(float((a[n].double() - b[n].double()).square().sum()) for n in b)) ** 0.5
