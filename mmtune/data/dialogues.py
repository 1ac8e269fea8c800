"""A dialogue of a row -> turns. Refuses what it would have to change; merges and mends nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmtune.data.fields import checked_text
from mmtune.data.reasons import BadRow, Reason, excerpt, type_name
from mmtune.data.refusals import TOOL_ROLES
from mmtune.types import Role, Text, Turn

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}


def dialogue_turns(value: Any, *, field: str, system: str, max_chars: int) -> tuple[Turn, ...]:
    """Turns of a list of `{role, content}`, `{from, value}`, or of plain texts that take turns,
    the user's first (LIMA). An empty system turn counts as none.

    `system` is the row's own system column. Raises BadRow.

    >>> [t.role for t in dialogue_turns(["Hi", "Hello"], field="x", system="", max_chars=9)]
    ['user', 'assistant']
    """
    if value is None:
        raise BadRow("missing_field", f"{field} is null")
    if not isinstance(value, list):
        raise BadRow("wrong_type", f"{field} is {type_name(value)}, not a list of turns")
    turns = [_turn(item, index, field, max_chars) for index, item in enumerate(value)]
    if system.strip():
        turns.insert(0, Turn("system", (Text(system),)))
    filled = [turn for turn in turns if turn.role != "system" or turn.text.strip()]
    check_turns(filled)
    return tuple(filled)


def check_turns(turns: Sequence[Turn]) -> None:
    """System first if at all, then user and assistant in turn; something is said and learnt.

    A last user turn without an answer may stand: it costs nothing and is learnt by nobody.
    Raises BadRow.
    """
    spoken = turns[1:] if turns and turns[0].role == "system" else turns
    if not any(turn.role == "assistant" for turn in spoken):
        raise BadRow("no_assistant_turn", f"{len(spoken)} turns, none of the assistant")
    for index, turn in enumerate(spoken):
        expected = "assistant" if index % 2 else "user"
        if turn.role != expected:
            number = index + 1 + len(turns) - len(spoken)
            raise BadRow("bad_roles", f"turn {number} is {turn.role} where {expected} is due")
        if not turn.text.strip():
            reason: Reason = "empty_answer" if turn.role == "assistant" else "empty_prompt"
            raise BadRow(reason, f"the {turn.role}'s turn {index + 1} is empty")
    if not any(turn.learn for turn in spoken if turn.role == "assistant"):
        raise BadRow("nothing_to_learn", "every assistant turn has weight 0")


def _turn(item: Any, index: int, field: str, max_chars: int) -> Turn:
    place = f"{field}[{index}]"
    if isinstance(item, str):
        role: Role = "assistant" if index % 2 else "user"
        return Turn(role, (Text(checked_text(item, place, max_chars)),))
    if not isinstance(item, Mapping):
        raise BadRow("wrong_type", f"{place} is {type_name(item)}, not a turn")
    role = _role(item, place)
    content = item["content"] if "content" in item else item.get("value")
    text = checked_text(_joined(content, place), f"{place}.content", max_chars)
    return Turn(role, (Text(text),), learn=role != "assistant" or _learn(item, place))


def _role(item: Mapping[str, Any], place: str) -> Role:
    name = item.get("role", item.get("from"))
    if name is None:
        raise BadRow("missing_field", f"{place} has neither role nor from")
    if not isinstance(name, str):
        raise BadRow("wrong_type", f"{place}: the role is {type_name(name)}")
    role = _ROLES.get(name.casefold())
    if role is None:
        tool = name.casefold() in TOOL_ROLES
        raise BadRow("tool_call" if tool else "bad_roles", f"{place}: role {excerpt(name)}")
    return role


def _joined(content: Any, place: str) -> Any:
    """A list of text parts as one text; anything but a list as it is."""
    if not isinstance(content, list):
        return content
    return "".join(_part_text(part, place) for part in content)


def _part_text(part: Any, place: str) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, Mapping) else type_name(part)
    text = part.get("text", part.get("value")) if isinstance(part, Mapping) else None
    if kind not in ("text", "input_text", "output_text") or not isinstance(text, str):
        raise BadRow("wrong_type", f"{place}: a part that is no text ({excerpt(kind)})")
    return text


def _learn(item: Mapping[str, Any], place: str) -> bool:
    """OpenAI's `weight` (or `loss_weight`): 0 is context only, 1 is learnt."""
    weight = item.get("weight", item.get("loss_weight"))
    if weight is None:
        return True
    if isinstance(weight, (int, float)) and weight in (0, 1):
        return bool(weight)
    raise BadRow("wrong_type", f"{place}: weight {excerpt(weight)}; only 0 and 1 are read")
