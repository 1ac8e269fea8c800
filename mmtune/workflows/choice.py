"""Which checkpoint becomes `final/`: scored as they are saved, remembered in selection.json."""

import json
import math
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

    def best(self) -> Candidate | None:
        """The best candidate by the recipe's rule; of equals, the earlier. None: take the last."""
        if self.section.by == "last":
            return None
        ripe = [c for c in self.candidates if c.epoch >= self.section.first_epoch]
        if self.section.by == "loss":
            return min(ripe, key=lambda c: math.inf if c.loss is None else c.loss, default=None)
        return max(ripe, key=lambda c: -math.inf if c.score is None else c.score, default=None)


def reopen(path: Path, section: Select, done_steps: int) -> Choice:
    """The choice of a run that goes on: candidates past the place of resuming are forgotten."""
    choice = Choice(path, section)
    if done_steps and path.exists():
        rows = [Candidate(**row) for row in json.loads(path.read_text())]
        choice.candidates = [row for row in rows if row.step <= done_steps]
    return choice
