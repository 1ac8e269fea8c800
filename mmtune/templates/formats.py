"""Few-shot prompts around a phrased example. Knows conversations; the phrasing is handed in.

Chung et al. 2022, section 2.1, and the Flan Collection's code: exemplars within a budget of tokens,
delimiters drawn for each example.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from mmtune.templates.draws import keyed_index, keyed_random
from mmtune.types import Conversation, Example, Part, Text, Turn

Phrase = Callable[[Example], Conversation]


class Examples(Protocol):
    """Examples by number: a list, or a store on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Example: ...


CountTokens = Callable[[str], int]

FLAN_2022_BUDGET = 1_920
FLAN_BUDGET = 960
"""Tokens that exemplars and query may take together (Wei et al. 2021; 64 more are separators)."""
MIXED_DRAWS = 25


@dataclass(frozen=True, slots=True)
class Delimiters:
    """What stands before a question, before its answer, and between one pair and the next."""

    question: str
    answer: str
    between: str = "\n\n\n"


DELIMITERS = (
    Delimiters("", "\n\n"),
    Delimiters("", "\n\n", "\n\n\n\n"),
    Delimiters("", "\n", "\n\n---\n\n"),
    Delimiters("Q: ", "\nA: ", "\n\n"),
    Delimiters("Question: ", "\nAnswer: ", "\n\n"),
    Delimiters("Input: ", "\nOutput: ", "\n\n"),
    Delimiters("[Task]\n", "\n[Reply]\n", "\n\n"),
    Delimiters("> ", "\n< ", "\n\n"),
    Delimiters("Problem: ", "\nSolution: "),
    Delimiters("### ", "\n=> ", "\n\n"),
)
"""The first is the Flan Collection's default; the others are our own."""


@dataclass(frozen=True, slots=True)
class FewShot:
    """How exemplars are put before a question.

    `budget_tokens` is for exemplars and query together, 0 for no limit; exemplars that do not fit
    are left out, the last first. `layout`: as `turns` before, or all in `one_turn`.
    """

    shots: int = 5
    layout: Literal["turns", "one_turn"] = "turns"
    budget_tokens: int = FLAN_2022_BUDGET


def few_shot(
    example: Example,
    exemplars: Examples,
    phrase: Phrase,
    rule: FewShot,
    *,
    seed: int = 0,
    count_tokens: CountTokens | None = None,
) -> Conversation | None:
    """The example's conversation with others, answered, before it; None where none would fit.

    Which others is keyed by (seed, example id) and never the example itself, by id or by content.
    `phrase` renders query and exemplars alike: with one template for all (FLAN), or with each
    one's own (Flan 2022). Pictures cost no tokens here. Zero shots is the plain conversation.
    """
    query = phrase(example)
    if rule.shots == 0:
        return query
    if rule.budget_tokens and count_tokens is None:
        raise ValueError("a budget of tokens needs count_tokens")
    drawn = draw_exemplars(example, exemplars, rule.shots, seed=seed)
    shown = [_bare(phrase(other)) for other in drawn]
    delimiters = DELIMITERS[keyed_index(len(DELIMITERS), seed, "delimiters", example.id)]
    while shown:
        prompt = _laid_out(query, shown, rule, delimiters)
        if count_tokens is None or not rule.budget_tokens:
            return prompt
        asked = "".join(turn.text for turn in prompt.turns[:-1])
        if count_tokens(asked) <= rule.budget_tokens:
            return prompt
        shown.pop()
    return None


def draw_exemplars(
    example: Example, exemplars: Examples, count: int, *, seed: int = 0
) -> list[Example]:
    """Up to `count` of them, in drawn order, without the example itself or a copy of it."""
    rng = keyed_random(seed, "exemplars", example.id)
    chosen: list[Example] = []
    taken: set[int] = set()
    while len(chosen) < count and len(taken) < len(exemplars):
        if len(taken) * 2 > len(exemplars):  # few are left: shuffle those instead of guessing
            rest = [i for i in range(len(exemplars)) if i not in taken]
            rng.shuffle(rest)
        else:
            rest = [rng.randrange(len(exemplars))]
        for index in rest:
            if index not in taken and len(chosen) < count:
                taken.add(index)
                if not _is_same(exemplars[index], example):
                    chosen.append(exemplars[index])
    return chosen


def mixed_shots(example: Example, templates: int, *, seed: int = 0) -> int:
    """How many of 25 draws fall on the example's own template of so many: 2.5 of ten on average.

    The Flan Collection draws 25 exemplars with a template each and keeps those that share the
    query's; an example left with none is dropped, so 0 here means: leave it out.
    """
    draws = (keyed_index(templates, seed, "shots", i, example.id) for i in range(MIXED_DRAWS))
    return sum(index == 0 for index in draws)


def _is_same(one: Example, other: Example) -> bool:
    if one.id == other.id:
        return True
    return one.fields == other.fields and one.images == other.images


def _bare(conversation: Conversation) -> Conversation:
    turns = tuple(turn for turn in conversation.turns if turn.role != "system")
    return replace(conversation, turns=turns)


def _laid_out(
    query: Conversation, shown: Sequence[Conversation], rule: FewShot, delimiters: Delimiters
) -> Conversation:
    system = tuple(turn for turn in query.turns if turn.role == "system")
    asked = _bare(query).turns
    if rule.layout == "turns":
        before = tuple(
            replace(turn, learn=turn.learn and turn.role != "assistant")
            for other in shown
            for turn in other.turns
        )
        return replace(query, turns=(*system, *before, *asked))
    parts: list[Part] = []
    for other in shown:
        parts += [Text(delimiters.question), *_spoken(other.turns[:-1])]
        parts += [Text(delimiters.answer), *other.turns[-1].parts, Text(delimiters.between)]
    parts += [Text(delimiters.question), *_spoken(asked[:-1]), Text(delimiters.answer.rstrip())]
    turn = Turn("user", _joined(parts))
    return replace(query, turns=(*system, turn, asked[-1]))


def _spoken(turns: Sequence[Turn]) -> list[Part]:
    """All parts, a blank line between turns."""
    parts: list[Part] = []
    for number, turn in enumerate(turns):
        parts += [Text("\n\n"), *turn.parts] if number else turn.parts
    return parts


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Neighbouring texts as one, empty ones left out."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Text) and isinstance(last, Text):
            joined[-1] = Text(last.text + part.text)
        elif not isinstance(part, Text) or part.text:
            joined.append(part)
    return tuple(joined)
