"""What a place of a section accepts: its type, its limits in words, the keys below it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from mmtune.config.section import Section
from mmtune.config.tree import Node

TAGS = ("kind", "family")


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a recipe: the annotation there and the limits on its values."""

    annotation: Any
    limits: tuple[Any, ...] = ()
    info: FieldInfo | None = None


def place_of(annotation: Any, limits: Sequence[Any] = (), info: FieldInfo | None = None) -> Place:
    if get_origin(annotation) is not Annotated:
        return Place(annotation, tuple(limits), info)
    inner, *extra = get_args(annotation)
    nested = [m for e in extra for m in (e.metadata if isinstance(e, FieldInfo) else [e])]
    return place_of(inner, (*limits, *nested), info)


def field_place(section: type[Section], key: str) -> Place | None:
    info = section.model_fields.get(key)
    return place_of(info.annotation, info.metadata, info) if info else None


def members(place: Place) -> tuple[Any, ...]:
    """The alternatives of a union, or the one type."""
    if get_origin(place.annotation) in (Union, UnionType):
        return tuple(place_of(a).annotation for a in get_args(place.annotation))
    return (place.annotation,)


def sections(place: Place) -> tuple[type[Section], ...]:
    return tuple(m for m in members(place) if isinstance(m, type) and issubclass(m, Section))


def tag_of(place: Place) -> str | None:
    """The key that chooses between several sections here (`kind`, `family`), if any."""
    choices = sections(place)
    if len(choices) < 2:
        return None
    return next((tag for tag in TAGS if all(tag in s.model_fields for s in choices)), None)


def tag_values(section: type[Section], tag: str) -> tuple[str, ...]:
    return get_args(section.model_fields[tag].annotation)


def by_tag(place: Place) -> dict[str, type[Section]]:
    tag = tag_of(place)
    if tag is None:
        return {}
    return {value: s for s in sections(place) for value in tag_values(s, tag)}


def section_at(place: Place, node: Node | None) -> type[Section] | None:
    """The section meant here; among several, the one that the node's tag names."""
    choices = sections(place)
    tag = tag_of(place)
    if tag is None:
        return choices[0] if choices else None
    found = node.value.get(tag) if node and isinstance(node.value, dict) else None
    return by_tag(place).get(str(found.value)) if found else None


def below(place: Place, key: str, node: Node | None) -> Place | None:
    """The place under `key`, a field's name or a list's index; None where there is no such."""
    section = section_at(place, node)
    if section is not None:
        return field_place(section, key)
    origin, arguments = get_origin(place.annotation), get_args(place.annotation)
    if origin in (list, dict, tuple, Mapping, Sequence) and arguments:
        return place_of(arguments[-1] if origin is not tuple else arguments[0])
    return None


def child(node: Node | None, key: str) -> Node | None:
    """The node under a key or a list's index, if it was given."""
    if node is None:
        return None
    if isinstance(node.value, dict):
        return node.value.get(key)
    if isinstance(node.value, list) and key.isdecimal() and int(key) < len(node.value):
        return node.value[int(key)]
    return None


def accepts_none(place: Place) -> bool:
    return NoneType in members(place)


def all_keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Every dotted key that a section can have; a list's entries are called `N`."""
    for name in section.model_fields:
        place = field_place(section, name)
        assert place is not None
        yield prefix + name
        entry = prefix + name + "."
        if get_origin(place.annotation) is list:
            place, entry = place_of(get_args(place.annotation)[0]), entry + "N."
        for inner in sections(place):
            yield from all_keys(inner, entry)


_LIMITS = (
    (annotated_types.Gt, "gt", "> {}"),
    (annotated_types.Ge, "ge", ">= {}"),
    (annotated_types.Lt, "lt", "< {}"),
    (annotated_types.Le, "le", "<= {}"),
    (annotated_types.MinLen, "min_length", "of length >= {}"),
    (annotated_types.MaxLen, "max_length", "of length <= {}"),
)
_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    NoneType: "nothing",
}


def expected(place: Place) -> str:
    """In words, what may stand here: `a whole number > 0`, `'auto', 'on' or 'off'`."""
    tags = by_tag(place)
    if tags:
        return f"{tag_of(place)}: {either(list(map(repr, tags)))}"
    names = [_type_name(member) for member in members(place)]
    limits = [
        form.format(f"{getattr(limit, attribute):g}")
        for limit in place.limits
        for kind, attribute, form in _LIMITS
        if isinstance(limit, kind)
    ]
    return " ".join([either(names), " and ".join(limits)]).strip()


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return either([repr(a) for a in arguments])
    if origin is list:
        inner = place_of(arguments[0])
        return "a list of sections" if sections(inner) else f"a list, each {expected(inner)}"
    if origin is dict:
        return "`name: value` lines"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        required = [name for name, f in annotation.model_fields.items() if f.is_required()]
        return "a section of keys" + (f" (at least {', '.join(required)})" if required else "")
    return _NAMES.get(annotation) or str(getattr(annotation, "__name__", annotation))


def either(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
