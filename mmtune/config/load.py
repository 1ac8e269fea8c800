"""Files at the door: YAML, `based_on:` and dotted overrides in, one frozen typed section out.

    based_on: lima_text.yaml          # relative to this file; mappings merge, lists are replaced
    train: {learning_rate: 1e-4}      # a key without a value takes its default

Knows how layers are put on top of each other. Every fault is found before any is reported.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from mmtune.config.faults import differences, fault_lines
from mmtune.config.recipe import Recipe
from mmtune.config.schema import (
    Place,
    accepts_none,
    below,
    child,
    members,
    section_at,
    sections,
    tag_of,
    tag_values,
)
from mmtune.config.section import Section
from mmtune.config.tree import Node, Value, parse, read_layers
from mmtune.errors import ConfigError

AnySection = TypeVar("AnySection", bound=Section)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, with overrides such as `train.learning_rate=1e-4` on top.

    Raises ConfigError with every fault at once, one line each:
    `lima.yaml:12: train.lr: no such key; did you mean train.learning_rate?`
    """
    return load_section(path, overrides, Recipe)


def load_section(path: Path, overrides: Sequence[str], kind: type[AnySection]) -> AnySection:
    """As `load_recipe`, for any kind of section (a card, a suite, a curation recipe)."""
    faults: list[str] = []
    place = Place(kind)
    root, *layers = read_layers(path, faults)
    for layer in layers:
        root = _merge(root, layer, place)
    root = Node(root.value, str(path))
    for keys, value in _parse_overrides(overrides, kind, faults):
        root = _put(root, keys, value, place, faults)
    root = _settle(root, place)
    try:
        section = kind.model_validate(_plain(root))
    except ValidationError as error:
        faults += fault_lines(error, kind, root)
    if faults:
        raise ConfigError(*faults)
    return section


def to_yaml(section: Section) -> str:
    """The section with every default written out; loading it gives an equal section."""
    return yaml.safe_dump(section.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def recipe_hash(recipe: Section) -> str:
    """SHA-256 (hex) of the recipe's canonical JSON: equal recipes, equal hashes."""
    canonical = json.dumps(
        recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def changed_keys(old: Section, new: Section) -> list[str]:
    """What differs, readably: `train.learning_rate: 1e-05 -> 3e-05`."""
    return differences(old.model_dump(mode="json"), new.model_dump(mode="json"))


def _merge(under: Node, over: Node, place: Place) -> Node:
    """`over` on top of `under`: mappings key by key; all else, and another kind, replaced whole."""
    if not (isinstance(under.value, dict) and isinstance(over.value, dict)):
        return over
    if _changes_kind(under, over, place):
        return over
    merged: dict[str, Node] = dict(under.value)
    for key, node in over.value.items():
        inner = below(place, key, over) or below(place, key, under) or Place(object)
        merged[key] = _merge(merged[key], node, inner) if key in merged else node
    return Node(merged, over.origin)


def _changes_kind(under: Node, over: Node, place: Place) -> bool:
    tag = tag_of(place)
    old, new = (child(node, tag) if tag else None for node in (under, over))
    return bool(old and new and old.value != new.value)


def _parse_overrides(
    overrides: Sequence[str], kind: type[Section], faults: list[str]
) -> list[tuple[list[str], Node]]:
    """Keys and value of each override, those that choose a kind first: they replace the rest."""
    parsed = []
    for text in overrides:
        origin = f"override {text!r}"
        dotted, equals, written = text.partition("=")
        keys = dotted.strip().split(".")
        if not equals or not all(keys) or dotted.startswith("-"):
            faults.append(f"{origin}: expected key=value, such as train.learning_rate=1e-4")
            continue
        if keys == ["based_on"]:
            faults.append(f"{origin}: based_on belongs in the file")
            continue
        if (value := _override_value(written, origin, _static_place(kind, keys), faults)) is None:
            continue
        parsed.append((keys, value))
    return sorted(parsed, key=lambda item: item[0][-1] not in ("kind", "family"))


def _override_value(
    written: str, origin: str, place: Place | None, faults: list[str]
) -> Node | None:
    try:
        node = parse(written, origin, lines=False, faults=faults)
    except ConfigError as error:
        if place is None or str not in members(place):
            faults.extend(error.faults)
            return None
        return Node(written, origin, written)
    return node if isinstance(node.value, str) else Node(node.value, origin, written)


def _static_place(kind: type[Section], keys: Sequence[str]) -> Place | None:
    """The place of a dotted key as far as the schema alone tells (any kind that has the key)."""
    places = [Place(kind)]
    for key in keys:
        steps = [below(Place(m), key, None) for p in places for m in members(p)]
        places = [step for step in steps if step is not None]
    return places[0] if places else None


def _put(node: Node, keys: Sequence[str], value: Node, place: Place, faults: list[str]) -> Node:
    """The tree with the value at `keys` set; sections and lists on the way are made if absent."""
    if not keys:
        return value
    key, *rest = keys
    inner = below(place, key, node) or Place(object)
    old = child(node, key) or Node(None, value.origin)
    if isinstance(node.value, list):
        if not key.isdecimal() or int(key) > len(node.value):
            found = f"found {key!r}, expected an index from 0 to {len(node.value)}"
            faults.append(f"{value.origin}: {found} (one past the last entry appends)")
            return node
        new = _put(old, rest, value, inner, faults)
        entries = [*node.value[: int(key)], new, *node.value[int(key) + 1 :]]
        return Node(entries, node.origin)
    if node.value is None and key.isdecimal() and not section_at(place, None):
        return _put(Node([], value.origin), keys, value, place, faults)
    entry = _put(old, rest, value, inner, faults)
    alone = Node({key: entry}, value.origin)
    if not isinstance(node.value, dict) or _changes_kind(node, alone, place):
        return alone
    return Node({**node.value, key: entry}, node.origin)


def _settle(node: Node, place: Place) -> Node:
    """The tree as the schema reads it: keys without a value left out, text where text is meant."""
    value = node.value
    if sections(place) and isinstance(value, dict):
        node = _over_default(node, place)
        assert isinstance(node.value, dict)
        value = node.value
    if isinstance(value, dict):
        return Node(_settle_entries(node, value, place), node.origin)
    if isinstance(value, list):
        item = below(place, "0", None) or Place(object)
        return Node([_settle(entry, item) for entry in value], node.origin)
    accepted = members(place)
    if node.raw is not None and value is not None:
        as_text = str in accepted and not isinstance(value, str) and type(value) not in accepted
        if as_text or (isinstance(value, bool) and bool not in accepted):
            return Node(node.raw, node.origin, node.raw)
    return node


def _settle_entries(node: Node, entries: dict[str, Node], place: Place) -> dict[str, Node]:
    settled = {}
    for key, entry in entries.items():
        inner = below(place, key, node)
        if entry.value is None and inner and not accepts_none(inner):
            if not sections(inner) or inner.info is None or not inner.info.is_required():
                continue
            entry = Node({}, entry.origin)
        settled[key] = _settle(entry, inner or Place(object))
    return settled


def _over_default(node: Node, place: Place) -> Node:
    """A section that may be of several kinds, on top of its default of the same kind.

    `train.batch.count=64` alone then keeps the default's `kind: examples`.
    """
    default = place.info.default if place.info else None
    tag = tag_of(place)
    if tag is None or not isinstance(default, Section):
        return node
    found = child(node, tag)
    if found is not None and str(found.value) not in tag_values(type(default), tag):
        return node
    plain = {tag: getattr(default, tag)} | default.model_dump(exclude_unset=True)
    return _merge(_as_node(plain, node.origin), node, place)


def _as_node(value: object, origin: str) -> Node:
    plain: Value = to_jsonable_python(value)
    if isinstance(plain, dict):
        return Node({key: _as_node(v, origin) for key, v in plain.items()}, origin)
    if isinstance(plain, list):
        return Node([_as_node(v, origin) for v in plain], origin)
    return Node(plain, origin)


def _plain(node: Node) -> object:
    if isinstance(node.value, dict):
        return {key: _plain(entry) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(entry) for entry in node.value]
    return node.value
