"""Draws problems about a scene, a function a kind; `tasks` has the table."""

from random import Random

from mmtune.pocket import statements as say
from mmtune.pocket import wordings as ask
from mmtune.pocket.problem import Problem, asked
from mmtune.pocket.world import (
    COLORS,
    SHAPES,
    Scene,
    as_list,
    as_prose,
    count_things,
    draw_scene,
    neighbours,
    with_article,
)


def _shown(rng: Random, scene: Scene) -> str:
    if rng.random() < 0.25:
        return f"The scene:\n{as_list(scene)}"
    return f"The scene: {as_prose(scene)}."


def count(rng: Random) -> Problem:
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    if rng.random() < 0.5:
        wanted = {"color": thing.color if rng.random() < 0.85 else rng.choice(COLORS), "shape": ""}
    else:
        wanted = {"color": "", "shape": thing.shape if rng.random() < 0.85 else rng.choice(SHAPES)}
    noun = f"{wanted['color']} {wanted['shape'] or 'object'}s".strip()
    return Problem(
        asked(rng, ask.COUNT, _shown(rng, scene), noun=noun),
        say.state_count(scene, **wanted),
        {"scene": scene.to_facts(), **wanted},
    )


def color(rng: Random) -> Problem:
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    return Problem(
        asked(rng, ask.COLOR, _shown(rng, scene), cell=thing.cell),
        say.state_color(thing),
        {"scene": scene.to_facts(), "cell": thing.cell},
    )


def place(rng: Random) -> Problem:
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    return Problem(
        asked(rng, ask.PLACE, _shown(rng, scene), name=thing.name),
        say.state_place(thing),
        {"scene": scene.to_facts(), "name": thing.name},
    )


def presence(rng: Random) -> Problem:
    scene = draw_scene(rng)
    thing = rng.choice(scene.things)
    color, shape = thing.color, thing.shape
    if rng.random() < 0.5:
        absent = [
            (c, s)
            for c in sorted({t.color for t in scene.things} | {rng.choice(COLORS)})
            for s in sorted({t.shape for t in scene.things} | {rng.choice(SHAPES)})
            if not count_things(scene, color=c, shape=s)
        ]
        color, shape = rng.choice(absent or [(color, shape)])
    return Problem(
        asked(rng, ask.PRESENCE, _shown(rng, scene), thing=with_article(f"{color} {shape}")),
        say.state_presence(scene, color, shape),
        {"scene": scene.to_facts(), "color": color, "shape": shape},
    )


def beside(rng: Random) -> Problem:
    scene = draw_scene(rng)
    while not neighbours(scene):
        scene = draw_scene(rng)
    thing, direction, other = rng.choice(neighbours(scene))
    return Problem(
        asked(rng, ask.BESIDE, _shown(rng, scene), direction=direction, name=thing.name),
        say.state_neighbour(thing, direction, other),
        {"scene": scene.to_facts(), "name": thing.name, "direction": direction},
    )


def summary(rng: Random) -> Problem:
    scene = draw_scene(rng)
    return Problem(
        asked(rng, ask.SUMMARY, _shown(rng, scene)),
        say.state_summary(scene),
        {"scene": scene.to_facts()},
    )


def recolor(rng: Random) -> Problem:
    scene = draw_scene(rng, count=rng.randint(2, 3))
    old = rng.choice(scene.things).color
    new = rng.choice([c for c in COLORS if c not in {t.color for t in scene.things}])
    return Problem(
        asked(rng, ask.RECOLOR, _shown(rng, scene), old=old, new=new),
        say.state_recolored(scene, old, new),
        {"scene": scene.to_facts(), "old": old, "new": new},
    )
