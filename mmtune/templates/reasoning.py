"""Answers that show how they were reached: the rationale, a connecting phrase, the answer."""

from mmtune.templates.draws import keyed_index

CONNECTIVES = (
    "{rationale} So the answer is {answer}.",
    "{rationale}\nTherefore: {answer}",
    "{rationale}\n\nFinal answer: {answer}",
    "{rationale} That gives us {answer}.",
    "{rationale} This leads to {answer}.",
    "{rationale}\nAnswer: {answer}",
    "{rationale} Hence my answer: {answer}.",
    "{rationale} All in all, it has to be {answer}.",
    "{rationale}\n\nThe result: {answer}",
    "{rationale} In short, {answer}.",
)
"""Ten layouts of rationale and answer, as many as the Flan Collection has; the words are ours."""


def join_reasoning(rationale: str, answer: str, *, seed: int, example_id: str) -> str:
    """The rationale and then the answer; which of the ten is drawn by seed and example.

    >>> join_reasoning("4 + 3 = 7.", "7", seed=0, example_id="sum/1")  # one of ten
    '4 + 3 = 7. So the answer is 7.'
    """
    form = CONNECTIVES[keyed_index(len(CONNECTIVES), seed, "connective", example_id)]
    head, tail = form.split("{rationale}")[1].split("{answer}")
    if answer.endswith((".", "!", "?")):
        tail = ""
    return f"{rationale.strip()}{head}{answer}{tail}"
