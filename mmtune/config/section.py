"""The one way to write a piece of configuration: frozen, strict, described."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A typed piece of a recipe, card or suite. An unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
