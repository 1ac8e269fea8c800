"""Every recipe that ships loads, and every field of a recipe is read by someone (invariant 9)."""

import ast
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmtune.config import recipe as recipes
from mmtune.config.load import load_recipe
from mmtune.config.section import Section

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = [
    path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "configs").rglob("*.y*ml"))
    if "accelerate" not in path.parts
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_shipped_recipe_loads(config: str) -> None:
    assert load_recipe(ROOT / config).run.dir


def sections() -> Iterator[type[Section]]:
    for value in vars(recipes).values():
        if isinstance(value, type) and issubclass(value, Section) and value is not Section:
            yield value


def fields() -> list[str]:
    """`Section.field` of every field whose value is more than the choice of its section."""
    return [
        f"{section.__name__}.{name}"
        for section in sections()
        for name, info in section.model_fields.items()
        if not _is_tag(name, info.annotation)
    ]


def _is_tag(name: str, annotation: object) -> bool:
    """A `kind` or `family` of one value is read by the choice of the section's type."""
    return name in ("kind", "family") and len(typing.get_args(annotation)) == 1


def attributes_read() -> set[str]:
    read: set[str] = set()
    for path in (ROOT / "mmtune").rglob("*.py"):
        if path.parts[-2:] != ("config", "recipe.py"):
            read |= read_in(ast.parse(path.read_text()))
    # A property of a section reads for those who read the property.
    tree = ast.parse((ROOT / "mmtune/config/recipe.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in read:
            read |= read_in(node)
    return read


def read_in(tree: ast.AST) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


READ = attributes_read()


@pytest.mark.parametrize("field", fields())
def test_a_field_of_a_recipe_is_read_somewhere(field: str) -> None:
    assert field.split(".")[1] in READ, f"{field} is read by nobody: use it or take it out"


def test_a_field_that_nobody_reads_would_be_noticed() -> None:
    assert "train.seed" not in READ and "a_field_nobody_reads" not in READ
    assert len(fields()) > 40
