"""A raw row under a known layout -> an Example. Refuses a row; never changes its text."""

from collections.abc import Callable, Mapping
from typing import Any

from mmtune.data.dialogues import check_turns, dialogue_turns
from mmtune.data.fields import checked_text, extras, optional, required
from mmtune.data.layouts import LAYOUTS, Inference, LayoutName
from mmtune.data.reasons import BadRow, excerpt, type_name
from mmtune.types import Text, Turn

Content = tuple[str, dict[str, str], tuple[Turn, ...]]
"""(task, fields, turns) of an Example."""


def row_content(values: Mapping[str, Any], inference: Inference, *, max_chars: int) -> Content:
    """What the row says. Raises BadRow.

    `instruction` and `prompt_completion` rows become task `instruction` with the fields
    instruction, input, output, system and the row's other scalar columns;
    dialogues become turns; `text` a single document turn.
    """
    fields = _with_late_columns(values, inference)
    return _CONTENTS[inference.layout](values, fields, max_chars)


def _with_late_columns(values: Mapping[str, Any], inference: Inference) -> Mapping[str, str]:
    """The fields, and those optional ones whose column no row had while the layout was inferred:
    an `input` that only some rows have must not be left out in silence."""
    late = {
        field: alias
        for field, aliases in LAYOUTS[inference.layout].optional.items()
        if field not in inference.fields
        for alias in reversed(aliases)
        if alias in values and alias not in inference.fields.values()
    }
    return {**inference.fields, **late} if late else inference.fields


def joined_prompt(instruction: str, given: str) -> str:
    """The plain way to put an instruction and its input: a blank line between them.

    >>> joined_prompt("Add.", "2 3")
    'Add.\\n\\n2 3'
    """
    return "\n\n".join(part for part in (instruction, given) if part.strip())


def _instruction(values: Mapping[str, Any], fields: Mapping[str, str], max_chars: int) -> Content:
    asked = required(values, fields["instruction"], max_chars)
    answer = required(values, fields["output"], max_chars)
    given = optional(values, fields.get("input"), max_chars)
    system = optional(values, fields.get("system"), max_chars)
    _check_said(joined_prompt(asked, given), answer)
    past = _history(values.get(fields["history"]) if "history" in fields else None, max_chars)
    if past:
        said = (_say("user", joined_prompt(asked, given)), _say("assistant", answer))
        turns = (*((_say("system", system),) if system.strip() else ()), *past, *said)
        check_turns(turns)
        return "dialogue", {}, turns
    content = {"instruction": asked, "input": given, "output": answer, "system": system}
    return "instruction", {**_others(values, fields, max_chars), **content}, ()


def _prompt_completion(
    values: Mapping[str, Any], fields: Mapping[str, str], max_chars: int
) -> Content:
    prompt, completion = values.get(fields["prompt"]), values.get(fields["completion"])
    system = optional(values, fields.get("system"), max_chars)
    if isinstance(prompt, list) and isinstance(completion, list):
        return _listed_pair(prompt, completion, system, max_chars)
    asked = required(values, fields["prompt"], max_chars)
    answer = required(values, fields["completion"], max_chars)
    _check_said(asked, answer)
    content = {"instruction": asked, "input": "", "output": answer, "system": system}
    return "instruction", {**_others(values, fields, max_chars), **content}, ()


def _listed_pair(prompt: list[Any], completion: list[Any], system: str, max_chars: int) -> Content:
    """Both as turns: assistant turns of the prompt are context, only the completion is learnt."""
    context = [{**turn, "weight": 0} if isinstance(turn, dict) else turn for turn in prompt]
    turns = dialogue_turns(
        [*context, *completion], field="prompt + completion", system=system, max_chars=max_chars
    )
    return "dialogue", {}, turns


def _dialogue(field: str) -> Callable[[Mapping[str, Any], Mapping[str, str], int], Content]:
    def content(values: Mapping[str, Any], fields: Mapping[str, str], max_chars: int) -> Content:
        column = fields[field]
        if column not in values:
            raise BadRow("missing_field", f"no {column}")
        system = optional(values, fields.get("system"), max_chars)
        turns = dialogue_turns(values[column], field=column, system=system, max_chars=max_chars)
        return "dialogue", {}, turns

    return content


def _document(values: Mapping[str, Any], fields: Mapping[str, str], max_chars: int) -> Content:
    text = required(values, fields["text"], max_chars)
    if not text.strip():
        raise BadRow("empty_text", f"{fields['text']} is empty")
    return "document", {}, (_say("document", text),)


def _say(role: Any, text: str) -> Turn:
    return Turn(role, (Text(text),))


def _check_said(prompt: str, answer: str) -> None:
    if not prompt.strip():
        raise BadRow("empty_prompt", "nothing is asked")
    if not answer.strip():
        raise BadRow("empty_answer", f"the answer is empty; asked was {excerpt(prompt)}")


def _history(value: Any, max_chars: int) -> tuple[Turn, ...]:
    """Earlier turns of an instruction row: a list of [asked, answered]."""
    if value is None or value == "" or value == []:
        return ()
    pairs = value if isinstance(value, list) else None
    if pairs is None or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
        raise BadRow("wrong_type", f"history is {type_name(value)}, not a list of pairs")
    texts = [checked_text(text, "history", max_chars) for pair in pairs for text in pair]
    return tuple(_say("assistant" if i % 2 else "user", text) for i, text in enumerate(texts))


def _others(values: Mapping[str, Any], fields: Mapping[str, str], max_chars: int) -> dict[str, str]:
    return extras(values, set(fields.values()), max_chars)


_CONTENTS: dict[LayoutName, Callable[[Mapping[str, Any], Mapping[str, str], int], Content]] = {
    "instruction": _instruction,
    "prompt_completion": _prompt_completion,
    "messages": _dialogue("messages"),
    "conversations": _dialogue("conversations"),
    "text": _document,
}
