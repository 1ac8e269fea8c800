"""A big, mixed pool of instructions whose every fault is known: curation is scored against it."""

from collections.abc import Iterator
from random import Random

from mmtune.pocket.draws import keyed
from mmtune.pocket.faults import ANSWER_FAULTS, FAULT_RATES, nearly_same, wrong_answer
from mmtune.pocket.instructions import BUCKETS, Instruction, draw_problem
from mmtune.pocket.oracle import grade_by_facts
from mmtune.pocket.problem import Problem
from mmtune.pocket.tasks import KINDS

# The atlas has few facts: asked as often as the rest, its prompts would soon be used up.
_WEIGHTS = [{"capital": 0.2, "known_for": 0.4, "river": 0.4}.get(kind, 1.0) for kind in KINDS]
LOPSIDED_KIND = "arithmetic"
"""Rows with the fault `lopsided` are good, but all of this one kind: far more than its share."""
_TWINS_KEPT = 2000


def pool(count: int = 20_000, seed: int = 0) -> Iterator[Instruction]:
    """Row after row, without end where `count` is 0; faults come at `FAULT_RATES`.

    A prompt is never the exact copy of another. Row i needs the rows before it (a
    near-duplicate repeats one of them), which takes some 0.1 ms a row.
    """
    taken: set[str] = set()
    originals: list[Instruction] = []
    index = 0
    while not count or index < count:
        rng = keyed("pool", seed, index)
        row = _draw_row(rng, f"pocket-pool-{seed}-{index:06d}", originals, taken)
        if not row.fault:
            # Old ones are overwritten in turn: the pool may be endless, memory is not.
            originals[index % _TWINS_KEPT : index % _TWINS_KEPT + 1] = [row]
        yield row
        index += 1


def _draw_row(rng: Random, id: str, originals: list[Instruction], taken: set[str]) -> Instruction:
    names = ["", *FAULT_RATES]
    (fault,) = rng.choices(names, [1 - sum(FAULT_RATES.values()), *FAULT_RATES.values()])
    if fault == "near_duplicate" and originals:
        twin = _twin_of(rng, id, rng.choice(originals))
        if twin.prompt not in taken:
            taken.add(twin.prompt)
            return twin
    if fault == "near_duplicate":
        fault = ""
    (kind,) = rng.choices(KINDS, _WEIGHTS)
    if fault == "lopsided":
        kind = LOPSIDED_KIND
    kind, problem = _draw_any(rng, kind, taken)
    return Instruction(
        id=id,
        kind=kind,
        prompt=problem.prompt,
        answer=_answer(rng, kind, problem, fault),
        facts=problem.facts,
        fault=fault,
    )


def _draw_any(rng: Random, kind: str, taken: set[str]) -> tuple[str, Problem]:
    """A new problem of this kind, or of another where this one is used up."""
    while True:
        problem = draw_problem(rng, kind, buckets=BUCKETS["pool"], taken=taken)
        if problem is not None:
            return kind, problem
        kind = rng.choice(KINDS)


def _twin_of(rng: Random, id: str, row: Instruction) -> Instruction:
    return Instruction(
        id=id,
        kind=row.kind,
        prompt=nearly_same(rng, row.prompt),
        answer=row.answer,
        facts=row.facts,
        fault="near_duplicate",
        twin=row.id,
    )


def _answer(rng: Random, kind: str, problem: Problem, fault: str) -> str:
    if fault == "wrong_answer":
        return wrong_answer(rng, kind, problem)
    if fault == "off_topic":
        return _answer_to_another(rng, kind, problem)
    if fault in ANSWER_FAULTS:
        return ANSWER_FAULTS[fault](rng, problem.answer)
    return problem.answer


def _answer_to_another(rng: Random, kind: str, problem: Problem) -> str:
    while True:
        other = rng.choice([name for name in KINDS if name != kind])
        drawn = draw_problem(rng, other, buckets=BUCKETS["pool"], taken=set())
        if drawn is not None and not grade_by_facts(kind, problem.facts, drawn.answer):
            return drawn.answer
