"""Grades answers about a scene: `(facts, plain text) -> right or wrong`, a function a kind."""

import re
from collections import Counter

from mmtune.pocket import mentions
from mmtune.pocket.grading import Facts, gives_number, keeps_to, names_only
from mmtune.pocket.world import (
    COLORS,
    DIRECTIONS,
    SHAPES,
    Scene,
    Thing,
    count_things,
    recolored,
    thing_at,
    thing_beside,
)


def count(facts: Facts, said: str) -> bool:
    scene = Scene.from_facts(facts["scene"])
    color, shape = facts["color"], facts["shape"]
    wanted = count_things(scene, color=color, shape=shape)
    alike = [t for t in scene.things if color in ("", t.color) and shape in ("", t.shape)]
    colors, shapes = set(mentions.terms(said, COLORS)), set(mentions.terms(said, SHAPES))
    subject, detail = (colors, shapes) if color else (shapes, colors)
    if not subject <= {color or shape}:
        return False
    # "2 red objects: a star and a heart": details must be those of the things counted.
    if detail and (not subject or detail != {t.shape if color else t.color for t in alike}):
        return False
    if wanted == 0 and not mentions.numbers(said):
        return re.search(r"\b(no|none)\b", said) is not None
    return gives_number(said, wanted)


def color(facts: Facts, said: str) -> bool:
    thing = thing_at(Scene.from_facts(facts["scene"]), facts["cell"])
    assert thing is not None
    return (
        names_only(said, thing.color, COLORS)
        and set(mentions.cells(said)) <= {thing.cell}
        and keeps_to(said, thing.shape, SHAPES)
    )


def _named(scene: Scene, name: str) -> Thing:
    return next(thing for thing in scene.things if thing.name == name)


def place(facts: Facts, said: str) -> bool:
    thing = _named(Scene.from_facts(facts["scene"]), facts["name"])
    return (
        set(mentions.cells(said)) == {thing.cell}
        and not mentions.is_negated(said)
        and keeps_to(said, thing.color, COLORS)
        and keeps_to(said, thing.shape, SHAPES)
    )


_AFFIRMS = re.compile(r"\b(there is|there's|is in|has|shows|contains|is present)\b")
_DENIES = re.compile(r"\b(no|none|without)\b")


def presence(facts: Facts, said: str) -> bool:
    color, shape = facts["color"], facts["shape"]
    is_there = count_things(Scene.from_facts(facts["scene"]), color=color, shape=shape) > 0
    named = {(c, s) for _, c, s in mentions.things(said)}
    if named and named != {(color, shape)}:
        return False
    opening = re.match(r"(yes|no)\b\W*", said)
    rest = said[opening.end() :] if opening else said
    denied = mentions.is_negated(rest) or _DENIES.search(rest) is not None
    affirmed = not denied and _AFFIRMS.search(rest) is not None
    if opening is None:
        # "I am not able to": only a sentence about the thing, or about what there is, counts.
        on_topic = bool(named) or re.search(r"\bthere\b|\bscene\b", rest)
        return bool(on_topic) and (not denied and affirmed if is_there else denied)
    # `no` alone is an answer; a sentence beside it must agree with it.
    return (
        not denied
        if opening[1] == "yes" and is_there
        else (opening[1] == "no" and not is_there and not affirmed)
    )


_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def beside(facts: Facts, said: str) -> bool:
    scene = Scene.from_facts(facts["scene"])
    asked = _named(scene, facts["name"])
    wanted = thing_beside(scene, asked, facts["direction"])
    assert wanted is not None
    named = {f"{color} {shape}": size for size, color, shape in mentions.things(said)}
    if not named:
        twins = count_things(scene, shape=wanted.shape)
        return (
            twins == 1
            and names_only(said, wanted.shape, SHAPES)
            and not (mentions.terms(said, COLORS))
        )
    if len(set(mentions.cells(said))) > 1:
        return False  # the scene told again
    if wanted.name not in named or not set(named) <= {wanted.name, asked.name}:
        return False
    if named[wanted.name] not in ("", wanted.size) or mentions.is_negated(said):
        return False
    bases = re.findall(rf"\b({'|'.join(DIRECTIONS)}) (?:the |an? )?(\w+) (\w+)\b", said)
    right = {
        (facts["direction"], asked.name),
        (_OPPOSITE[facts["direction"]], wanted.name),
    }
    known = {thing.name for thing in scene.things}
    claims = {(way, f"{color} {shape}") for way, color, shape in bases}
    return {claim for claim in claims if claim[1] in known} <= right


def summary(facts: Facts, said: str) -> bool:
    scene = Scene.from_facts(facts["scene"])
    if mentions.cells(said):
        return False  # the scene told again, not summed up
    counted: Counter[tuple[str, str]] = Counter()
    # "2 red circles", "a large red circle", "one circle"
    pattern = rf"(\w+) (?:small |large )?(?:({'|'.join(COLORS)}) )?({'|'.join(SHAPES)})s?\b"
    found = re.findall(pattern, said)
    for amount, color, shape in found:
        number = "1" if amount in ("a", "an") else "".join(mentions.numbers(amount))
        if not number.isdigit():
            return False
        counted[color, shape] += int(number)
    if len(found) != len(mentions.terms(said, SHAPES)) or mentions.is_negated(said):
        return False
    by_shape = {s: sum(n for (_, shape), n in counted.items() if shape == s) for s in SHAPES}
    return by_shape == {shape: count_things(scene, shape=shape) for shape in SHAPES} and all(
        n <= count_things(scene, color=color, shape=shape) for (color, shape), n in counted.items()
    )


def recolor(facts: Facts, said: str) -> bool:
    wanted = recolored(Scene.from_facts(facts["scene"]), facts["old"], facts["new"])
    said_things = mentions.placed_things(said)
    right = sorted((t.color, t.shape, t.cell, t.size) for t in wanted.things)
    told = sorted((color, shape, cell, size) for size, color, shape, cell in said_things)
    return len(told) == len(right) and all(
        one[:3] == other[:3] and one[3] in ("", other[3])
        for one, other in zip(told, right, strict=True)
    )
