"""`mmtune doctor`: versions, devices, and which attention paths truly run here."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import psutil
import torch
from rich.console import Console
from rich.table import Table

from mmtune import __version__
from mmtune.families.attention_probe import AttentionProbe, probe_attention

PACKAGES = (
    "torch transformers diffusers open_clip_torch accelerate xformers datasets torchmetrics peft "
    "tokenizers safetensors numpy pyarrow pydantic"
).split()


def run() -> None:
    """Print the report; nothing is written and nothing is fetched."""
    console = Console()
    devices = [torch.device("cpu")]
    devices += [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    console.print(_versions())
    console.print(_machine(devices))
    for device in _distinct(devices):
        console.print(_attention(device, probe_attention(device)))


def _versions() -> Table:
    table = Table("package", "version", title="Versions", title_justify="left")
    table.add_row("mmtune", __version__)
    table.add_row("python", platform.python_version())
    for package in PACKAGES:
        table.add_row(package, _installed(package))
    return table


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "[red]not installed[/red]"


def _machine(devices: list[torch.device]) -> Table:
    table = Table("device", "what", "memory", "computes in", title="Devices", title_justify="left")
    memory = psutil.virtual_memory()
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} threads"
    if cap := os.environ.get("OMP_NUM_THREADS"):
        threads += f" (OMP_NUM_THREADS={cap})"
    table.add_row(
        "cpu", f"{platform.machine()}, {threads}", _free(memory.available, memory.total), "float32"
    )
    for device in devices[1:]:
        properties = torch.cuda.get_device_properties(device)
        room = _free(*torch.cuda.mem_get_info(device))
        dtypes = "bfloat16, float16" if properties.major >= 8 else "float16"
        table.add_row(str(device), properties.name, room, dtypes)
    return table


def _free(free: int, total: int) -> str:
    return f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"


def _distinct(devices: list[torch.device]) -> list[torch.device]:
    """One device of each model: eight equal GPUs answer alike."""
    named = {
        torch.cuda.get_device_name(d) if d.type == "cuda" else "cpu": d for d in reversed(devices)
    }
    return list(reversed(named.values()))


def _attention(device: torch.device, probes: list[AttentionProbe]) -> Table:
    """A row for each path, a column for each dtype; one reason where no dtype runs."""
    dtypes = list(dict.fromkeys(probe.dtype for probe in probes))
    title = f"Packed attention on {device}, forward and backward"
    table = Table("path", *dtypes, "why not", title=title, title_justify="left")
    for path in dict.fromkeys(probe.path for probe in probes):
        of_path = {probe.dtype: probe for probe in probes if probe.path == path}
        reasons = dict.fromkeys(p.reason for p in of_path.values() if not p.runs)
        cells = ["[green]runs[/green]" if of_path[d].runs else "refused" for d in dtypes]
        table.add_row(path, *cells, "; ".join(reasons))
    return table
