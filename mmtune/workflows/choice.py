"""Which checkpoint becomes `final/`: scored as they are saved, remembered in selection.json."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmtune.config.recipe import Select
from mmtune.training.tracking import write_json


@dataclass(frozen=True, slots=True)
class Candidate:
    """One saved checkpoint and what the dev set says of it."""

    step: int
    epoch: float
    loss: float | None
    score: float | None


@dataclass(slots=True)
class Choice:
    """The candidates of a run so far."""

    path: Path
    section: Select
    candidates: list[Candidate] = field(default_factory=list)

    def add(self, candidate: Candidate, *, write: bool) -> None:
        """Remember a candidate; one of the same step is replaced."""
        self.candidates = [c for c in self.candidates if c.step != candidate.step] + [candidate]
        if write:
            write_json(self.path, [asdict(c) for c in self.candidates])

    def forget(self, step: int) -> None:
        """Leave that step out from now on."""
        self.candidates = [c for c in self.candidates if c.step != step]

    def best(self, among: Collection[int] | None = None) -> Candidate | None:
        """The best candidate by the recipe's rule, of those steps; of equals, the earlier. None:
        take the last."""
        if self.section.by == "last":
            return None
        ripe = [
            c
            for c in self.candidates
            if c.epoch >= self.section.first_epoch and (among is None or c.step in among)
        ]
        measured = [(c, value) for c in ripe if (value := self._measure(c)) is not None]
        return min(measured, key=lambda pair: pair[1])[0] if measured else None

    def _measure(self, candidate: Candidate) -> float | None:
        """Less is better."""
        if self.section.by == "loss":
            return candidate.loss
        return None if candidate.score is None else -candidate.score

    def has(self, step: int) -> bool:
        """Whether the checkpoint of that step was measured."""
        return any(candidate.step == step for candidate in self.candidates)


def reopen(path: Path, section: Select, done_steps: int) -> Choice:
    """The choice of a run that goes on: candidates past the place of resuming are forgotten."""
    choice = Choice(path, section)
    if done_steps and path.exists():
        rows = [Candidate(**row) for row in json.loads(path.read_text())]
        choice.candidates = [row for row in rows if row.step <= done_steps]
    return choice
