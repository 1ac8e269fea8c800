"""Rank classification: a question is answered with the option that the model finds likeliest.

Four scores side by side. Knows neither tokens nor models: likelihoods come in as a function.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mmtune.types import Conversation, Dropped, Text, Turn

ScoreName = Literal["sum", "per_token", "per_character", "pmi"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
NEUTRAL_PROMPT = "Answer:"
CLOSE_NATS = 1e-3
"""A lead this small could be another backend's rounding."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of a conversation's last answer, given all before it."""

    log_probability: float
    """Summed over its tokens, in nats"""
    tokens: int


Likelihoods = Callable[[Sequence[Conversation]], Sequence[Likelihood | Dropped]]
"""In the order of the conversations; Dropped where one has no place in the model."""


@dataclass(frozen=True, slots=True)
class Question:
    """One example in one template, with the answers it may have."""

    example_id: str
    group: str
    """What it shares with questions that are not independent of it: the data set's row"""
    prompt: tuple[Turn, ...]
    """All that is said before the answer"""
    options: tuple[str, ...]
    right: frozenset[int]
    """Numbers of the options that count as right"""


@dataclass(frozen=True, slots=True)
class Ranked:
    """One question answered."""

    example_id: str
    group: str
    right: frozenset[int]
    scores: Mapping[ScoreName, tuple[float, ...]]
    """Of each option"""

    def chosen(self, name: ScoreName) -> int:
        """The option with the highest score; the first of those that tie."""
        return max(range(len(self.scores[name])), key=self.scores[name].__getitem__)

    def is_right(self, name: ScoreName) -> bool:
        return self.chosen(name) in self.right

    def lead(self, name: ScoreName) -> float:
        """How far the best option is before the next; 0.0 is a tie."""
        best, second = sorted(self.scores[name], reverse=True)[:2]
        return best - second

    @property
    def chance(self) -> float:
        """Of being right by a blind guess."""
        return len(self.right) / len(self.scores["sum"])


def rank(
    questions: Sequence[Question], likelihoods: Likelihoods, neutral_prompt: str = NEUTRAL_PROMPT
) -> list[Ranked | Dropped]:
    """Score every option of every question, in one call of `likelihoods`.

    The prompt is worked out anew for each option. Each different option is scored once after
    `neutral_prompt` for PMI. A question one of whose options cannot be scored is Dropped.
    Raises ValueError for a question with fewer than two options or none that is right.
    """
    for question in questions:
        if len(question.options) < 2 or not question.right:
            raise ValueError(f"{question.example_id}: no question with a right and a wrong option")
    alone = list(dict.fromkeys(option for question in questions for option in question.options))
    asked = [
        _answered(question.example_id, question.prompt, option)
        for question in questions
        for option in question.options
    ]
    neutral_turn = (Turn("user", (Text(neutral_prompt),)),)
    neutral = [_answered("", neutral_turn, option) for option in alone]
    found = iter(likelihoods([*asked, *neutral]))
    mine = [[next(found) for _ in question.options] for question in questions]
    prior = dict(zip(alone, found, strict=True))
    return [
        _ranked(question, given, [prior[option] for option in question.options])
        for question, given in zip(questions, mine, strict=True)
    ]


def option_scores(
    options: Sequence[str], given: Sequence[Likelihood], alone: Sequence[Likelihood]
) -> dict[ScoreName, tuple[float, ...]]:
    """The four scores of each option o after prompt p.

    sum: log P(o | p), as FLAN and T0 rank (Sanh et al. 2021, section 5.2).
    per_token: sum / tokens that were scored (Brown et al. 2020, section 2.4).
    per_character: sum / characters (code points) of o.
    pmi: log P(o | p) - log P(o | n) with a neutral prompt n, the domain-conditional PMI of
        Holtzman et al. 2021, section 3; ours is one n for all domains.
    """
    sums = [one.log_probability for one in given]
    return {
        "sum": tuple(sums),
        "per_token": tuple(one.log_probability / one.tokens for one in given),
        "per_character": tuple(s / len(o) for s, o in zip(sums, options, strict=True)),
        "pmi": tuple(s - n.log_probability for s, n in zip(sums, alone, strict=True)),
    }


def _answered(example_id: str, prompt: tuple[Turn, ...], option: str) -> Conversation:
    return Conversation(example_id, (*prompt, Turn("assistant", (Text(option),))))


def _ranked(
    question: Question,
    given: Sequence[Likelihood | Dropped],
    alone: Sequence[Likelihood | Dropped],
) -> Ranked | Dropped:
    scored: list[Likelihood] = []
    for number, one in enumerate([*given, *alone]):
        if isinstance(one, Dropped):
            option = question.options[number % len(given)]
            return Dropped("", question.example_id, one.reason, f"{one.detail}: {option[:60]!r}")
        if not one.tokens or not math.isfinite(one.log_probability):
            option = question.options[number % len(given)]
            return Dropped("", question.example_id, "no_likelihood", f"of {option[:60]!r}")
        scored.append(one)
    scores = option_scores(question.options, scored[: len(given)], scored[len(given) :])
    return Ranked(question.example_id, question.group, question.right, scores)
