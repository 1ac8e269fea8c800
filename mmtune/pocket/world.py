"""Scenes of the pocket world: colored shapes on a grid of nine named cells, and what is true there.

It knows what a scene holds and how to say it; nothing of tasks, corpora or grading. Every draw
comes from a `random.Random` handed in, whose stream is the same on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

COLORS = ("red", "blue", "green", "yellow", "purple", "orange", "black", "white")
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond")
SIZES = ("small", "large")
CELLS = (
    *("top left", "top middle", "top right"),
    *("middle left", "center", "middle right"),
    *("bottom left", "bottom middle", "bottom right"),
)
DIRECTIONS = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}
"""Row and column to add to a cell to find its neighbour on that side."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape in one cell."""

    size: str
    color: str
    shape: str
    cell: str

    @property
    def name(self) -> str:
        """What tells it from the scene's other things: `red circle`."""
        return f"{self.color} {self.shape}"

    @property
    def full_name(self) -> str:
        """With its size: `large red circle`."""
        return f"{self.size} {self.name}"


@dataclass(frozen=True, slots=True)
class Scene:
    """Things in the order in which they are told; no two share a cell, or both color and shape."""

    things: tuple[Thing, ...]

    def to_facts(self) -> list[list[str]]:
        """The scene as plain JSON: `[["large", "red", "circle", "top left"], ...]`."""
        return [[thing.size, thing.color, thing.shape, thing.cell] for thing in self.things]

    @staticmethod
    def from_facts(facts: Sequence[Sequence[str]]) -> "Scene":
        """The inverse of `to_facts`."""
        return Scene(tuple(Thing(*thing) for thing in facts))


def draw_scene(rng: Random, *, count: int = 0) -> Scene:
    """A scene of `count` things (2 to 5 when 0), of few colors and shapes, so that some repeat."""
    count = count or rng.randint(2, 5)
    colors = rng.sample(COLORS, rng.randint(2, 3))
    shapes = rng.sample(SHAPES, 3 if count > 4 else rng.randint(2, 3))
    kinds = rng.sample([(color, shape) for color in colors for shape in shapes], count)
    cells = rng.sample(CELLS, count)
    return Scene(
        tuple(
            Thing(rng.choice(SIZES), color, shape, cell)
            for (color, shape), cell in zip(kinds, cells, strict=True)
        )
    )


def count_things(scene: Scene, *, color: str = "", shape: str = "") -> int:
    """How many things have this color and this shape; an empty word matches all."""
    return sum(color in ("", t.color) and shape in ("", t.shape) for t in scene.things)


def thing_at(scene: Scene, cell: str) -> Thing | None:
    """The thing in a cell, if any."""
    return next((thing for thing in scene.things if thing.cell == cell), None)


def thing_beside(scene: Scene, thing: Thing, direction: str) -> Thing | None:
    """The thing in the next cell on that side of `thing`, if any.

    `left of` finds the thing that stands left of `thing`.
    """
    row, column = divmod(CELLS.index(thing.cell), 3)
    down, right = DIRECTIONS[direction]
    row, column = row + down, column + right
    if not (0 <= row < 3 and 0 <= column < 3):
        return None
    return thing_at(scene, CELLS[3 * row + column])


def neighbours(scene: Scene) -> list[tuple[Thing, str, Thing]]:
    """All `(a, direction, b)` in which b stands directly on that side of a."""
    found = ((a, d, thing_beside(scene, a, d)) for a in scene.things for d in DIRECTIONS)
    return [(a, direction, b) for a, direction, b in found if b is not None]


def recolored(scene: Scene, old: str, new: str) -> Scene:
    """The scene with every thing of one color given another."""
    return Scene(
        tuple(
            Thing(t.size, new if t.color == old else t.color, t.shape, t.cell) for t in scene.things
        )
    )


def with_article(noun: str) -> str:
    """`an orange star`, `a red star`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(count: int, noun: str) -> str:
    """`1 star`, `2 stars`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def joined(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def as_prose(scene: Scene) -> str:
    """`a large red circle at the top left, a small blue star at the center`."""
    return ", ".join(f"{with_article(t.full_name)} at the {t.cell}" for t in scene.things)


def as_list(scene: Scene) -> str:
    """One thing a line: `- large red circle at the top left`."""
    return "\n".join(f"- {thing.full_name} at the {thing.cell}" for thing in scene.things)
