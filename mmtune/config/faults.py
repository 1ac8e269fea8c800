"""Every fault of a recipe as one line: where it was set, the key, what was found and expected."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mmtune.config.schema import (
    Place,
    all_keys,
    below,
    by_tag,
    child,
    either,
    expected,
    section_at,
    sections,
    tag_of,
)
from mmtune.config.section import Section
from mmtune.config.tree import Node, shown

NEAR = 0.65


def fault_lines(error: ValidationError, kind: type[Section], root: Node) -> list[str]:
    """One line for each fault that pydantic found, in the files' words."""
    return list(dict.fromkeys(_line(e, kind, root) for e in error.errors(include_url=False)))


def _line(error: ErrorDetails, kind: type[Section], root: Node) -> str:
    key, place, node, owner = _locate(error["loc"], kind, root)
    dotted = f"{key}: " if key else ""
    if error["type"] == "extra_forbidden":
        return f"{node.origin}: {key}: {unknown_key(key, owner, kind, root)}"
    if error["type"] in ("missing", "union_tag_not_found"):
        return f"{node.origin}: {_missing(error, key, place)}"
    if error["type"] == "value_error":
        return f"{node.origin}: {dotted}{error['msg'].removeprefix('Value error, ')}"
    if tags := by_tag(place):
        tag = tag_of(place)
        inner = child(node, str(tag)) or node
        found = _found(inner, list(tags))
        return f"{inner.origin}: {key}.{tag}: {found}, expected {either(list(map(repr, tags)))}"
    return f"{node.origin}: {dotted}{_found(node, _choices(place))}, expected {expected(place)}"


def _locate(
    loc: Sequence[str | int], kind: type[Section], root: Node
) -> tuple[str, Place, Node, Place]:
    """The dotted key of pydantic's `loc`, its place, the deepest node there, the place above it.

    Pydantic names the chosen kind of a section inside `loc`, which nobody wrote as a key.
    """
    place, owner, node, keys = Place(kind), Place(kind), root, list[str]()
    rest = list(map(str, loc))
    while rest:
        part = rest.pop(0)
        if keys and part in by_tag(place) and child(node, part) is None:
            continue
        keys.append(part)
        owner, inner = place, below(place, part, node)
        node = child(node, part) or node
        place = inner or Place(object)
        if inner is None:
            break
        if not sections(place) and below(place, rest[0] if rest else "", node) is None:
            break
    return ".".join(keys), place, node, owner


def _missing(error: ErrorDetails, key: str, place: Place) -> str:
    if error["type"] == "union_tag_not_found":
        key = f"{key}.{tag_of(place)}"
        return f"{key}: missing, expected {either(list(map(repr, by_tag(place))))}"
    what = f"{key}: missing, expected {expected(place)}"
    description = place.info.description if place.info else None
    return f"{what} ({description.splitlines()[0].rstrip('.')})" if description else what


def _choices(place: Place) -> list[str]:
    words = expected(place)
    return words.split("'")[1::2] if words.startswith("'") else []


def _found(node: Node, choices: Sequence[str]) -> str:
    near = nearest(str(node.value), choices) if isinstance(node.value, str) else []
    as_written = node.raw if isinstance(node.value, int | float) else None
    found = f"found {as_written or shown(node.value)}"
    return f"{found} (did you mean {near[0]!r}?)" if near else found


def unknown_key(key: str, owner: Place, kind: type[Section], root: Node) -> str:
    """What to say about a key that the section at `owner` does not have."""
    prefix, _, name = key.rpartition(".")
    node: Node | None = root
    for part in prefix.split(".") if prefix else []:
        node = child(node, part)
    section = section_at(owner, node)
    here = list(section.model_fields) if section else []
    if not prefix:
        here.append("based_on")
    near = [".".join(filter(None, (prefix, n))) for n in nearest(name, here)]
    if near:
        return f"no such key; did you mean {near[0]}?"
    if others := [tag for tag, s in by_tag(owner).items() if name in s.model_fields]:
        return f"no such key here; it needs {prefix}.{tag_of(owner)}: {either(others)}"
    if elsewhere := _elsewhere(name, all_keys(kind)):
        return f"no such key; did you mean {either(elsewhere[:3])}?"
    return f"no such key; keys here: {', '.join(here)}"


def _elsewhere(name: str, known: Iterable[str]) -> list[str]:
    """Dotted keys that end in `name`, or else in the nearest thing to it."""
    keys = list(dict.fromkeys(known))
    ends = {k.rpartition(".")[2] for k in keys}
    best = [name] if name in ends else nearest(name, sorted(ends), least=0.8)[:1]
    return [k for k in keys if k.rpartition(".")[2] in best]


def nearest(name: str, names: Sequence[str], least: float = NEAR) -> list[str]:
    """The names most like `name`, best first: by letters, or by initials (`lr`)."""
    scored = sorted(((_likeness(name, other), other) for other in names), reverse=True)
    return [other for score, other in scored if score >= least]


def _likeness(name: str, other: str) -> float:
    plain, target = name.lower().replace("-", "_"), other.lower()
    words = target.split("_")
    if len(words) > 1 and plain in ("".join(w[0] for w in words), target.replace("_", "")):
        return 0.95
    if set(words) == set(plain.split("_")):
        return 0.95
    return difflib.SequenceMatcher(None, plain, target).ratio()


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """The leaves in which two plain trees differ: `train.learning_rate: 1e-05 -> 3e-05`."""
    if isinstance(old, dict) and isinstance(new, dict):
        parts = {**old, **new}
        pairs = [(name, old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in parts]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))]
    elif old == new:
        return []
    else:
        return [f"{key}: {_leaf(old)} -> {_leaf(new)}"]
    return [d for n, a, b in pairs for d in differences(a, b, f"{key}.{n}" if key else n)]


_ABSENT = object()


def _leaf(value: Any) -> str:
    return "not set" if value is _ABSENT else shown(value)
