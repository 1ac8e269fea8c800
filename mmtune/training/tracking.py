"""What a run writes about itself: metrics.jsonl, status.json, TensorBoard, one progress bar."""

import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmtune.config.recipe import Recipe
from mmtune.training.loop import StepReport
from mmtune.training.memory import peak_memory_bytes


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all, whenever the process is killed."""
    aside = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


def append_whole(path: Path, text: str) -> None:
    """Append a text or, where the disk does not take all of it, nothing."""
    data = memoryview(text.encode())
    with open(path, "ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(end)
            raise


def write_status(folder: Path, state: str, **more: object) -> None:
    """`status.json`: running, finished, failed or interrupted."""
    write_json(folder / "status.json", {"state": state, "pid": os.getpid(), **more})


@dataclass(slots=True)
class Tracker:
    """The open files of a run; made by `open_tracker`, closed by `close`."""

    folder: Path
    bar: tqdm
    tensorboard: Any = None
    every: int = 1
    _since: dict[str, float] = field(default_factory=lambda: {"tokens": 0.0, "seconds": 0.0})
    _unwritten: dict[str, list[str]] = field(default_factory=dict)

    def step(self, report: StepReport) -> None:
        """Show a step; write it where it is due."""
        self._since["tokens"] += report.num_tokens
        self._since["seconds"] += report.seconds
        self.bar.update(1)
        if report.step % self.every and not report.skipped:
            return
        speed = self._since["tokens"] / max(self._since["seconds"], 1e-9)
        self._since = {"tokens": 0.0, "seconds": 0.0}
        self.bar.set_postfix_str(
            f"loss {report.loss:.3f}, {speed:,.0f} tokens/s, padding {report.padding_fraction:.1%}"
        )
        self.write(_row(report, speed))

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one JSON object to metrics.jsonl, and its numbers to TensorBoard."""
        self._append("metrics.jsonl", row)
        if self.tensorboard is None:
            return
        try:
            for name, value in _flat(row):
                self.tensorboard.add_scalar(name, value, row["step"])
        except OSError as error:
            self.say(f"TensorBoard's file cannot be written ({error}); metrics.jsonl goes on")
            self.tensorboard = None

    def bad_step(self, report: StepReport, why: str) -> None:
        """Append a step that was skipped or stood out, with its examples, to bad_steps.jsonl."""
        row = {"step": report.step, "why": why, "example_ids": list(report.example_ids)}
        self._append("bad_steps.jsonl", row)

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        """A line to a file. While the disk takes none, lines wait for the next one's turn."""
        line = json.dumps(_jsonable(row), ensure_ascii=False, allow_nan=False) + "\n"
        lines = [*self._unwritten.pop(name, []), line]
        try:
            append_whole(self.folder / name, "".join(lines))
        except OSError as error:
            if len(lines) == 1:
                self.say(f"{name} cannot be written ({error}); its lines wait, the run goes on")
            self._unwritten[name] = lines

    def say(self, text: str) -> None:
        """Print a line without breaking the progress bar."""
        self.bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        self.bar.close()
        if self.tensorboard is not None:
            self.tensorboard.close()


def open_tracker(
    folder: Path, *, total_steps: int, done_steps: int, recipe: Recipe, writes: bool
) -> Tracker:
    """Open a run's files; lines of steps that a resumed run takes again are dropped. Only the
    rank that writes touches them or shows a bar."""
    writer = None
    if writes:
        forget_after(folder / "metrics.jsonl", done_steps or -1)  # step 0 is measured anew
        forget_after(folder / "bad_steps.jsonl", done_steps)
    if writes and recipe.run.tensorboard:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(folder / "tensorboard", purge_step=done_steps + 1)
    bar = tqdm(
        total=total_steps, initial=done_steps, unit="step", dynamic_ncols=True, disable=not writes
    )
    return Tracker(folder, bar, writer, recipe.train.log_every_steps)


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of metrics.jsonl that are past `step`, and a last line cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a kill can cut the last line
        if row["step"] <= step:
            kept.append(line + "\n")
    write_whole(path, "".join(kept))


def _row(report: StepReport, speed: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "step": report.step,
        "epoch": round(report.epoch, 4),
        "loss": _number(report.loss),
        "lr": report.lr,
        "grad_norm": _number(report.grad_norm),
        "tokens_per_second": round(speed, 1),
        "padding_fraction": round(report.padding_fraction, 4),
        "num_targets": report.num_targets,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    if len(report.source_losses) > 1:
        row["source_loss"] = {name: _number(x) for name, x in report.source_losses.items()}
    return row | ({"skipped": True} if report.skipped else {})


def _number(value: float) -> float | None:
    """JSON has no nan: a step that was skipped has no loss."""
    return value if math.isfinite(value) else None


def _jsonable(value: Any) -> Any:
    """The same, a number that is none (a dev loss gone wrong) as null."""
    if isinstance(value, Mapping):
        return {name: _jsonable(inner) for name, inner in value.items()}
    return _number(value) if isinstance(value, float) else value


def _flat(row: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    numbers: list[tuple[str, float]] = []
    for name, value in row.items():
        if isinstance(value, Mapping):
            numbers += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            numbers.append((prefix + name, float(value)))
    return numbers
