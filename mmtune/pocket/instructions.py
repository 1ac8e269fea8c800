"""The instruction sets of the pocket world: clean, dev, test, and a pool with known faults.

Each prompt belongs to one set by its own hash, so no prompt is in two of them. Same name and seed,
same bytes on every machine.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from mmtune.pocket import oracle
from mmtune.pocket.draws import keyed
from mmtune.pocket.grading import Facts
from mmtune.pocket.problem import Problem
from mmtune.pocket.tasks import KINDS, TASKS
from mmtune.pocket.wordings import OPENERS

Row = dict[str, str]

BUCKETS = {
    "test": range(0, 15),
    "dev": range(15, 20),
    "clean": range(20, 50),
    "pool": range(50, 100),
}
"""The hundredths of all prompts that each set draws from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One prompt with an answer. `fault` names what is wrong with it, "" when nothing is;
    `twin` is the id of the row that a near-duplicate repeats."""

    id: str
    kind: str
    prompt: str
    answer: str
    facts: Facts
    fault: str = ""
    twin: str = ""

    def to_row(self) -> Row:
        """As a data row; `facts` becomes JSON text."""
        return {
            "id": self.id,
            "instruction": self.prompt,
            "output": self.answer,
            "kind": self.kind,
            "facts": json.dumps(self.facts),
            "fault": self.fault,
            "twin": self.twin,
        }


def grade(instruction: Instruction, answer: str) -> bool:
    """Whether a free-text answer to this instruction is right."""
    return oracle.grade_by_facts(instruction.kind, instruction.facts, answer)


def bucket_of(prompt: str) -> int:
    """Which of a hundred parts a prompt falls into; case and white space do not count."""
    key = " ".join(prompt.lower().split())
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % 100


def draw_problem(
    rng: Random, kind: str, *, buckets: range, taken: set[str], attempts: int = 2000
) -> Problem | None:
    """A problem whose prompt is of these buckets and not in `taken`, to which it is added.

    None after so many attempts in vain. A polite opening does not change a prompt's bucket.
    """
    for attempt in range(attempts):
        problem = TASKS[kind](rng)
        if bucket_of(problem.prompt) not in buckets:
            continue
        if rng.random() < 0.15 or attempt > 100:
            prompt = rng.choice(OPENERS) + problem.prompt
            problem = Problem(prompt, problem.answer, problem.facts)
        if problem.prompt not in taken:
            taken.add(problem.prompt)
            return problem
    return None


def clean_set(count: int = 1000, seed: int = 0) -> Iterator[Instruction]:
    """Right answers in one style, every kind equally often."""
    return _balanced("clean", count, seed)


def dev_set(count: int = 50, seed: int = 0) -> Iterator[Instruction]:
    """Like the clean set, for choosing between checkpoints."""
    return _balanced("dev", count, seed)


def test_set(count: int = 300, seed: int = 0) -> Iterator[Instruction]:
    """Like the clean set, for the final score."""
    return _balanced("test", count, seed)


def _balanced(name: str, count: int, seed: int) -> Iterator[Instruction]:
    taken: set[str] = set()
    for index in range(count):
        rng, kind = keyed(name, seed, index), KINDS[index % len(KINDS)]
        problem = draw_problem(rng, kind, buckets=BUCKETS[name], taken=taken)
        if problem is None:
            raise ValueError(f"no more than {index} {name} prompts can be drawn")
        yield Instruction(
            id=f"pocket-{name}-{seed}-{index:06d}",
            kind=kind,
            prompt=problem.prompt,
            answer=problem.answer,
            facts=problem.facts,
        )
