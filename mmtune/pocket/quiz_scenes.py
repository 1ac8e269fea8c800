"""Quizzes about scenes: what is to be seen in one, and whether a statement follows from one.

For the second kind, one thing of the scene is told without its color, size or place. A statement
follows if it is true whatever is left unsaid (yes), or false (no); else nobody can tell.
"""

from dataclasses import replace
from random import Random

from mmtune.pocket.quiz import Quiz, among, yes_or_no
from mmtune.pocket.world import (
    CELLS,
    COLORS,
    SHAPES,
    SIZES,
    Scene,
    Thing,
    as_prose,
    count_things,
    draw_scene,
    joined,
    thing_at,
    with_article,
)

VERDICTS = ("yes", "no", "cannot tell")
_UNSAID = ""


def count_shape(rng: Random) -> Quiz:
    """How many things have a shape or a color."""
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    by_shape = rng.random() < 0.5
    color, shape = ("", thing.shape) if by_shape else (thing.color, "")
    right = count_things(scene, color=color, shape=shape)
    wrong = rng.sample([n for n in range(6) if n != right], 3)
    noun = f"{shape}s" if by_shape else f"{color} objects"
    return among(rng, {"scene": as_prose(scene), "noun": noun}, right, wrong)


def color_at(rng: Random) -> Quiz:
    """The color of what is in a cell."""
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    there = sorted({t.color for t in scene.things} - {thing.color})
    others = [color for color in COLORS if color != thing.color and color not in there]
    wrong = [*there, *rng.sample(others, 3 - len(there))]
    return among(rng, {"scene": as_prose(scene), "cell": thing.cell}, thing.color, wrong)


def place_of(rng: Random) -> Quiz:
    """The cell that a thing is in; wrong ones hold other things, or nothing."""
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    there = [t.cell for t in scene.things if t != thing][:2]
    empty = [cell for cell in CELLS if thing_at(scene, cell) is None]
    wrong = [*there, *rng.sample(empty, 3 - len(there))]
    return among(rng, {"scene": as_prose(scene), "name": thing.name}, thing.cell, wrong)


def presence(rng: Random) -> Quiz:
    """Whether there is a thing of this color and shape; half the time there is."""
    scene = draw_scene(rng)
    if rng.random() < 0.5:
        name = rng.choice(scene.things).name
    else:
        there = {thing.name for thing in scene.things}
        colors = sorted({thing.color for thing in scene.things})
        kinds = [f"{c} {s}" for c in colors for s in SHAPES if f"{c} {s}" not in there]
        name = rng.choice(kinds)
    is_there = any(thing.name == name for thing in scene.things)
    return yes_or_no({"scene": as_prose(scene), "name": with_article(name)}, is_there)


def follows_color(rng: Random) -> Quiz:
    """`The object at the top left is red.`"""
    scene, verdict, thing = _asked_about(rng)
    value = thing.color if verdict == "yes" else _another(rng, COLORS, thing.color)
    told = replace(thing, color=_UNSAID) if verdict == "cannot tell" else thing
    return _statement(scene, told, f"The object at the {thing.cell} is {value}.", verdict)


def follows_size(rng: Random) -> Quiz:
    """`The red circle is large.`"""
    scene, verdict, thing = _asked_about(rng)
    value = thing.size if verdict == "yes" else _another(rng, SIZES, thing.size)
    told = replace(thing, size=_UNSAID) if verdict == "cannot tell" else thing
    return _statement(scene, told, f"The {thing.name} is {value}.", verdict)


def follows_place(rng: Random) -> Quiz:
    """`The red circle is at the top left.`"""
    scene, verdict, thing = _asked_about(rng)
    value = thing.cell
    if verdict == "no":
        value = _another(rng, CELLS, thing.cell)
    elif verdict == "cannot tell":  # a cell that may be its own: no other thing is told to be there
        value = rng.choice([cell for cell in CELLS if thing_at(scene, cell) in (None, thing)])
    told = replace(thing, cell=_UNSAID) if verdict == "cannot tell" else thing
    return _statement(scene, told, f"The {thing.name} is at the {value}.", verdict)


def _asked_about(rng: Random) -> tuple[Scene, str, Thing]:
    scene = draw_scene(rng, count=rng.randint(2, 4))
    return scene, rng.choice(VERDICTS), rng.choice(scene.things)


def _another(rng: Random, values: tuple[str, ...], value: str) -> str:
    return rng.choice([one for one in values if one != value])


def _statement(scene: Scene, told: Thing, statement: str, verdict: str) -> Quiz:
    """`told` is one of the scene's things, perhaps with something unsaid."""
    shown = [told if _may_be(told, thing) else thing for thing in scene.things]
    premise = joined([_said(thing) for thing in shown])
    return Quiz({"premise": premise, "hypothesis": statement}, verdict, VERDICTS)


def _may_be(told: Thing, thing: Thing) -> bool:
    pairs = zip(_values(told), _values(thing), strict=True)
    same_kind = told.shape == thing.shape
    return same_kind and all(one in (_UNSAID, other) for one, other in pairs)


def _values(thing: Thing) -> tuple[str, str, str, str]:
    return thing.size, thing.color, thing.shape, thing.cell


def _said(thing: Thing) -> str:
    """`a large red circle at the top left`, less what is unsaid."""
    noun = " ".join(filter(None, (thing.size, thing.color, thing.shape)))
    return with_article(noun) + (f" at the {thing.cell}" if thing.cell else " in some place")
