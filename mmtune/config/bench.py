"""What `mmtune bench` measures with; its keys are given on the command line, there is no file."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from mmtune.config.recipe import NotNegative, Positive
from mmtune.config.section import Section


class TextBench(Section):
    """A Llama-type model with weights drawn anew, and made-up rows packed for it."""

    width: Positive = 256
    layers: Positive = 6
    heads: Positive = 4
    feed_forward: Positive = 688
    vocabulary: Annotated[int, Field(ge=512, le=8192)] = 8192
    examples: Annotated[int, Field(ge=100)] = 1000
    """Made up, about 177 tokens each."""
    row_tokens: Annotated[int, Field(ge=1024)] = 2048
    """Of a micro-batch, which is a step here."""
    seconds: Annotated[float, Field(gt=0)] = 30.0
    """To measure for, after the first steps."""
    threads: NotNegative = 0
    """CPU threads; 0 is what training would take."""
    seed: NotNegative = 0

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width ({self.width}) must be a multiple of twice the heads ({self.heads})"
            )
        return self
