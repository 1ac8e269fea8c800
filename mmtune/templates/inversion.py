"""Templates made from templates: chain of thought asked for, and tasks turned inside out.

Chung et al. 2022 (chain-of-thought tuning) and the Flan Collection's input inversion, in which
question, reasoning and answer change places. The words are ours.
"""

from collections.abc import Iterable
from dataclasses import replace

from mmtune.errors import FormatError
from mmtune.templates.draws import keyed_index
from mmtune.templates.template import Template
from mmtune.types import Conversation, Text, Turn

CUES = (
    "Reason it through before you answer.",
    "Show how you get there first.",
    "Explain your reasoning, then answer.",
    "Take it one step at a time.",
    "Think aloud, and finish with the answer.",
    "Give your reasons before your answer.",
    "Work through it in small steps.",
    "First the reasoning, then the conclusion.",
    "What do you answer, and by what steps?",
    "Justify, then decide.",
)

_INVERTED = (  # (name, ask, answer), %s being the question's field
    (
        "question_from_solution",
        "{{ rationale }}\n\nThe answer was {{ answer }}. What was asked?",
        "{{ %s }}",
    ),
    (
        "question_behind_reasoning",
        "Someone argued as follows: {{ rationale }} They settled on: {{ answer }}.\n\n"
        "Write the question they had before them.",
        "{{ %s }}",
    ),
    (
        "reasons_for_answer",
        "{{ %s }}\n\nThe right answer is {{ answer }}. Explain why.",
        "{{ rationale }}",
    ),
    (
        "fill_in_reasoning",
        "Question: {{ %s }}\nReasoning: (missing)\nAnswer: {{ answer }}\n\n"
        "Supply the missing reasoning.",
        "{{ rationale }}",
    ),
    (
        "item_from_reasoning",
        "{{ rationale }}\n\nThink of a question that this reasoning settles, and answer it.",
        "{{ %s }}\n\nAnswer: {{ answer }}",
    ),
    (
        "item_from_answer",
        "Make up a question whose answer is {{ answer }}, and show how one gets to it.",
        "{{ %s }}\n\n{{ rationale }}",
    ),
    ("question_from_answer", "The answer is: {{ answer }}\n\nAsk a fitting question.", "{{ %s }}"),
)


def chain_of_thought(template: Template, *, seed: int = 0) -> Template:
    """The template with reasoning asked for and given before the answer.

    Its examples need the field `rationale`. A template that reasons already is returned as it is.
    Raises FormatError for one that does not ask for the task's answer.
    """
    if "reasoned" in template.names or "rationale" in template.names:
        return template
    if template.turned_around or "answer" not in template.names:
        raise FormatError(
            f"template {template.name!r}: it does not ask for the task's answer, so it cannot be "
            "asked to reason first; leave turned-around templates out of the chain-of-thought part."
        )
    cue = CUES[keyed_index(len(CUES), seed, "cue", template.name)]
    answer = template.answer.replace("{{ answer }}", "{{ reasoned }}")
    if answer == template.answer:
        answer = "{{ reasoned }}"
    ask = f"{template.ask.rstrip()}\n\n{cue}"
    return replace(template, name=f"{template.name}+reasoning", ask=ask, answer=answer)


def inversions(task: str, fields: Iterable[str], question: str = "question") -> list[Template]:
    """Templates that ask for the question, or the reasoning, of a task: those its fields allow.

    `question` is the card's name for what is asked. Three fields (question, rationale, answer)
    give the Flan Collection's four kinds: reasoning and answer -> question, question and answer ->
    reasoning, reasoning -> both others, answer -> both others. Without rationale only the last.
    """
    known = {*fields, "answer"}
    made = [
        Template(
            name=f"{task}/inverted_{name}",
            task=task,
            ask=ask.replace("%s", question),
            answer=answer.replace("%s", question),
            turned_around=True,
        )
        for name, ask, answer in _INVERTED
    ]
    return [template for template in made if template.names <= known]


def inverted_dialogue(conversation: Conversation) -> Conversation | None:
    """The last reply is given, what was said before it is asked for; None where nothing was.

    Pictures have no place in a transcript: a dialogue that has any gives None.
    """
    said = [turn for turn in conversation.turns if turn.role in ("user", "assistant")]
    pictures = any(not isinstance(part, Text) for turn in said for part in turn.parts)
    if len(said) < 2 or said[-1].role != "assistant" or pictures:
        return None
    speakers = {"user": "User", "assistant": "Assistant"}
    before = "\n".join(f"{speakers[turn.role]}: {turn.text}" for turn in said[:-1])
    ask = (
        "Below is the last reply of a conversation. Write down what was said before it.\n\n"
        f"Assistant: {said[-1].text}"
    )
    turns = (Turn("user", (Text(ask),)), Turn("assistant", (Text(before),)))
    return replace(conversation, turns=turns)
