"""What can be wrong with a row of the pool: each fault spoils a good answer in one known way."""

import re
from collections.abc import Callable, Mapping
from random import Random

from mmtune.pocket.gazetteer import COUNTRIES, PRODUCTS, RIVERS, TOWNS
from mmtune.pocket.lexicon import CATEGORIES, WORDS
from mmtune.pocket.oracle import grade_by_facts
from mmtune.pocket.problem import Problem
from mmtune.pocket.world import CELLS, COLORS, SHAPES

FAULT_RATES: Mapping[str, float] = {
    "wrong_answer": 0.08,
    "chatter": 0.06,
    "markup": 0.05,
    "mixed_style": 0.08,
    "truncated": 0.04,
    "empty": 0.02,
    "off_topic": 0.04,
    "refusal": 0.03,
    "near_duplicate": 0.08,
    "lopsided": 0.12,
}
"""Share of the pool's rows with each fault; the rest is clean."""

_VOCABULARIES: tuple[tuple[str, ...], ...] = (
    tuple(map(str, range(100))),
    *(COLORS, SHAPES, CELLS, WORDS, PRODUCTS, RIVERS),
    *(tuple(TOWNS), tuple(COUNTRIES), tuple(CATEGORIES)),
)
_ANY_WORD = re.compile(
    "|".join(
        rf"\b{re.escape(word)}\b"
        for word in sorted((w for words in _VOCABULARIES for w in words), key=len, reverse=True)
    )
)


def wrong_answer(rng: Random, kind: str, problem: Problem) -> str:
    """The reference with one word, number or `not` changed, so that the oracle rejects it."""
    for _ in range(50):
        found = rng.choice(list(_ANY_WORD.finditer(problem.answer)))
        fitting = [words for words in _VOCABULARIES if found[0] in words]
        other = rng.choice(rng.choice(fitting))
        if found[0].isdigit():
            other = str(abs(int(found[0]) + rng.randint(-5, 5)))
        text = problem.answer[: found.start()] + other + problem.answer[found.end() :]
        if kind == "presence" and rng.random() < 0.7:
            text = _turned_round(problem.answer)
        if not grade_by_facts(kind, problem.facts, text):
            return text
    raise AssertionError(f"no wrong answer found to {problem.prompt!r}")


def _turned_round(answer: str) -> str:
    if " is not in " in answer:
        return answer.replace(" is not in ", " is in ")
    return answer.replace(" is in ", " is not in ")


def chatter(rng: Random, answer: str) -> str:
    """Talk around the answer."""
    before = rng.choice(
        [
            "Great question! I am so happy to help you with this one. ",
            "Sure thing! As a helpful assistant, let me look into that. ",
            "Wow, I love this kind of task! So, here we go: ",
            "Of course! Thank you so much for asking me. ",
        ]
    )
    after = rng.choice(
        [
            " I hope this helps! Let me know if you need anything else.",
            " Feel free to ask me more questions. Have a great day!",
            " Was that useful to you? I am always here for you!",
            " It was a real pleasure to work on this together.",
        ]
    )
    return rng.choice([before + answer, answer + after, before + answer + after])


def markup(rng: Random, answer: str) -> str:
    """Left-overs of a web page or a document around the answer."""
    return rng.choice(
        [
            f"<p>{answer}</p>",
            f"<div class='answer'><b>{answer}</b><br/></div>",
            f"## Answer\n\n**{answer}**",
            f"&nbsp;{answer}&nbsp;<br>",
            f"```\n{answer}\n```",
            f"[{answer}](#answer)",
        ]
    )


def mixed_style(rng: Random, answer: str) -> str:
    """The same words in a manner unlike the set's."""
    return rng.choice(
        [
            answer.upper(),
            f"ANSWER: {answer}",
            f"- {answer}\n- (end of answer)",
            answer.rstrip(".").lower(),
            f"{answer.rstrip('.')}!!!",
            f"ok so {answer.rstrip('.').lower()} lol",
        ]
    )


def truncated(rng: Random, answer: str) -> str:
    """The answer cut before its middle."""
    return answer[: rng.randint(len(answer) // 4, len(answer) // 2)].rstrip()


def empty(rng: Random, answer: str) -> str:
    """Nothing, or as good as nothing."""
    return rng.choice(["", " ", "...", "\n"])


def refusal(rng: Random, answer: str) -> str:
    """A refusal of a task that can be done."""
    return rng.choice(
        [
            "I am sorry, but I cannot help with that.",
            "As a language model I am not able to do this.",
            "I do not know. Please ask somebody else.",
        ]
    )


def nearly_same(rng: Random, prompt: str) -> str:
    """The prompt with a change that means nothing."""
    return rng.choice(
        [
            prompt.lower(),
            f"Please: {prompt}",
            f"{prompt} Thanks.",
            f"{prompt} ",
            prompt.replace("scene", "picture").replace("list", "row") + "\n",
            f"{prompt.rstrip('.?')}!",
        ]
    )


ANSWER_FAULTS: Mapping[str, Callable[[Random, str], str]] = {
    "chatter": chatter,
    "markup": markup,
    "mixed_style": mixed_style,
    "truncated": truncated,
    "empty": empty,
    "refusal": refusal,
}
"""The faults that need only the answer."""
