"""Rows that are recognised but are no supervised text: pairs, pictures, tool calls, trees."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from mmtune.data.reasons import BadRow, Reason

_PAIRS = (
    ("chosen", "rejected"),
    ("chosen_messages", "rejected_messages"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
)
_MEDIA = frozenset(("image", "images", "video", "videos", "audio", "audios"))
_MEDIA_PARTS = {"image", "image_url", "input_image", "video", "video_url", "audio", "input_audio"}
_TOOLS = frozenset(("tools", "functions", "function_calls"))
_DIALOGUES = frozenset(("messages", "conversations", "conversation"))
TOOL_ROLES = {"tool", "tool_call", "tool_calls", "tool_response", "function", "function_call"}
TOOL_ROLES |= {"observation", "ipython", "environment"}
_TOOL_PARTS = {"tool_call", "tool_use", "tool_result", "function_call", "reasoning", "thinking"}
_NOTHING: tuple[Any, ...] = (None, "", "[]", "null", [], {}, "{}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a row is, and what to do with it instead."""

    reason: Reason
    says: str
    instead: str


REFUSALS: dict[Reason, Refusal] = {
    "preference_pair": Refusal(
        "preference_pair",
        "preference data (better and worse answers), not examples to imitate",
        "To tune on the better answers alone, name their column (`format: messages`, "
        "`fields: {messages: chosen}`), or keep the rows labelled good and drop the label.",
    ),
    "message_tree": Refusal(
        "message_tree",
        "message trees (several replies to one message), not dialogues",
        "Choose one path through each tree and write it as `messages`.",
    ),
    "tool_call": Refusal(
        "tool_call",
        "tool calls, which the text family does not represent",
        "Leave these rows out, or write calls and results as plain text of your own.",
    ),
    "has_media": Refusal(
        "has_media",
        "rows with pictures, video or sound, which a text model cannot see",
        "Use `model.family: vision_language`, which reads rows with pictures.",
    ),
}


def refusal(rows: Sequence[Mapping[str, Any]], *, stated: bool) -> Refusal | None:
    """The refusal that holds for every one of the rows, if any does.

    `stated`: the recipe names the layout, so that pairs and trees are read as it says.
    """
    kinds = {_kind(row, stated=stated) for row in rows}
    only = kinds.pop() if len(kinds) == 1 else None
    return REFUSALS[only] if only else None


def check_row(row: Mapping[str, Any], *, stated: bool) -> None:
    """Raises BadRow for a row of one of these kinds among others."""
    kind = _kind(row, stated=stated)
    if kind is not None:
        raise BadRow(kind, REFUSALS[kind].says)


def refused_columns(rows: Sequence[Mapping[str, Any]], refused: Refusal) -> list[str]:
    """The columns that gave it away."""
    telling = {
        "preference_pair": {name for pair in _PAIRS for name in pair} | {"label", "kto_tag"},
        "message_tree": {"message_tree_id", "parent_id", "replies", "prompt"},
        "tool_call": _TOOLS | _DIALOGUES,
        "has_media": _MEDIA | _DIALOGUES,
    }[refused.reason]
    return [name for name in dict.fromkeys(name for row in rows for name in row) if name in telling]


def _kind(row: Mapping[str, Any], *, stated: bool) -> Reason | None:
    if not stated and _is_preference(row):
        return "preference_pair"
    if not stated and _is_tree(row):
        return "message_tree"
    turns = _turns(row)
    if _filled(row, _MEDIA) or _has_part(turns, _MEDIA_PARTS):
        return "has_media"
    if _filled(row, _TOOLS) or _has_part(turns, _TOOL_PARTS) or any(map(_calls_tool, turns)):
        return "tool_call"
    return None


def _filled(row: Mapping[str, Any], names: Set[str]) -> bool:
    return any(row[name] not in _NOTHING for name in names & row.keys())


def _is_preference(row: Mapping[str, Any]) -> bool:
    if "kto_tag" in row or any(a in row and b in row for a, b in _PAIRS):
        return True
    return isinstance(row.get("label"), bool) and bool((_DIALOGUES | {"completion"}) & row.keys())


def _is_tree(row: Mapping[str, Any]) -> bool:
    if "message_tree_id" in row:
        return True
    prompt = row.get("prompt")
    return isinstance(prompt, dict) and "replies" in prompt


def _turns(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = [row[name] for name in _DIALOGUES & row.keys()]
    return [
        turn
        for turns in found
        if isinstance(turns, list)
        for turn in turns
        if isinstance(turn, Mapping)
    ]


def _has_part(turns: Sequence[Mapping[str, Any]], kinds: Set[str]) -> bool:
    return any(
        isinstance(part, Mapping) and part.get("type") in kinds
        for turn in turns
        if isinstance(content := turn.get("content", turn.get("value")), list)
        for part in content
    )


def _calls_tool(turn: Mapping[str, Any]) -> bool:
    return (
        str(turn.get("role", turn.get("from"))).casefold() in TOOL_ROLES
        or turn.get("tool_calls") not in _NOTHING
        or turn.get("function_call") not in _NOTHING
    )
