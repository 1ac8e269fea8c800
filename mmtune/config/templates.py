"""Template files as typed data: `datasets_cfg/templates/<card>.yaml`. Knows YAML, no Jinja.

task: rte
templates:
  - name: follows
    ask: |-
      {{ premise }}

      Does it follow that "{{ hypothesis }}"?

      {{ options }}
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from mmtune.config.load import load_section
from mmtune.config.section import Section

Filled = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]


class TemplateEntry(Section):
    """One phrasing."""

    name: Name
    """Unique within the file: small letters, digits, underscores."""
    ask: Filled
    """What the user says: Jinja over the card's fields, `options`, `{{ image:picture }}`."""
    answer: Filled = "{{ answer }}"
    """What the assistant says."""
    system: str = ""
    choices: list[Filled] = []
    """Words for the card's choices in this template, in the card's order; empty: the card's own."""
    turned_around: bool = False
    """It asks for something other than the task's own answer."""

    @field_validator("choices")
    @classmethod
    def _no_pipes(cls, choices: list[str]) -> list[str]:
        if len(choices) == 1 or any("|||" in text for text in choices):
            raise ValueError("expected two or more texts, none of them with '|||'")
        return choices


class TemplateFile(Section):
    """All phrasings of one task."""

    task: Filled
    """The card's name."""
    templates: Annotated[list[TemplateEntry], Field(min_length=1)]

    @field_validator("templates")
    @classmethod
    def _unique(cls, templates: list[TemplateEntry]) -> list[TemplateEntry]:
        names = [entry.name for entry in templates]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"name given twice: {', '.join(doubled)}; each needs its own")
        return templates


def load_template_file(path: Path) -> TemplateFile:
    """Raises ConfigError with every fault at once, each with file, line and key."""
    return load_section(path, (), TemplateFile)
