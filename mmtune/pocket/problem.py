"""A Problem: one prompt with its reference answer and its facts, of any kind."""

from dataclasses import dataclass
from random import Random

from mmtune.pocket.grading import Facts


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt, its reference answer, and what makes an answer right."""

    prompt: str
    answer: str
    facts: Facts


def asked(rng: Random, wordings: tuple[str, ...], context: str = "", **words: object) -> str:
    """The question in one wording, before or after what it is about."""
    question = rng.choice(wordings).format(**words)
    if not context:
        return question
    return f"{question}\n{context}" if rng.random() < 0.5 else f"{context}\n{question}"
