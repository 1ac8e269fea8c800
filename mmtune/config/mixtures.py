"""A Mixture as typed data: which cards, how much of each, in which formats. Knows no rows."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmtune.config.cards import Cluster, Collection
from mmtune.config.load import load_section
from mmtune.config.section import Section

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(gt=0)]


class Proportional(Section):
    """Examples-proportional with a maximum (FLAN, section 2.1): a data set weighs as much as it has
    examples, but no more than `maximum`. The cap counts examples, not shares."""

    kind: Literal["proportional"]
    maximum: Positive = 3_000


class PerTemplate(Section):
    """T0's rule (Sanh et al. 2021, released code): each (data set, template) pair is a task of its
    own and weighs as much as the data set has examples; of one with more than `most_examples`, that
    number is shared among its templates. A small data set so counts once for each of its templates,
    while a large one is held to `most_examples` in all."""

    kind: Literal["per_template"]
    most_examples: Positive = 500_000


class Temperature(Section):
    """Sizes to the power 1 / temperature: 1 is proportional, large ones make all alike."""

    kind: Literal["temperature"]
    temperature: Annotated[float, Field(ge=1)]


class Fixed(Section):
    """Weights by name: of a card, of a collection, or of a cluster, in this order of preference. A
    weight of a group is shared among its cards by their sizes (after the cap)."""

    kind: Literal["fixed"]
    weights: dict[str, Weight]


Rule = Annotated[Proportional | PerTemplate | Temperature | Fixed, Field(discriminator="kind")]


class Cap(Section):
    """Only so many examples of a card are used: its first ones, or, where its `splits` say that
    its rows are sorted (`train[but every 12]`), some from all over."""

    examples: Positive = 30_000
    by_collection: dict[Collection, Positive] = {}
    """Another cap for the cards of a collection (Flan-2022: 20,000 for T0, 100,000 for CoT)."""


class Formats(Section):
    """The parts of draws that are asked in each way, each drawn for itself; what is left is asked
    plainly, with the options that the mixture says."""

    few_shot: Share = 0.0
    """Of those that are not inverted: preceded by answered examples of the same data set; by none
    where none fits."""
    exemplars: Positive = 5
    """Most of them."""
    exemplar_chars: Positive = 4_000
    """Of them and the question together; those that do not fit are left out, the last first."""
    without_options: Share = 0.0
    """Of those whose template shows options: asked without them."""
    reasoned: Share = 1.0
    """Of those that have a rationale, in a template that asks for the answer: answered with it
    (chain of thought)."""
    inverted: Share = 0.0
    """Of those that have a rationale and one question: asked for the question, or the rationale
    (Flan 2022)."""


class Mixture(Section):
    """Several data sets as one stream of conversations."""

    name: str
    cards: list[str] = []
    """By name."""
    collections: list[Collection] = []
    """All cards of these, beside those named."""
    leave_out: list[str] = []
    hold_out: list[Cluster] = []
    """Clusters kept for evaluation; what could tell of them is left out too (see
    `mmtune.data.holding_out`)."""
    rule: Rule = Proportional(kind="proportional")
    cap: Cap = Cap()
    templates: str = "random"
    """`random` (keyed by seed, pass and example), `round_robin`, or a template's name that every
    task has."""
    templates_per_task: Annotated[int, Field(ge=0)] = 0
    """Use only the first so many templates of each task; 0 uses all."""
    turned_around: bool = True
    """Use the templates that turn the task around, too."""
    options: Literal["with", "without", "shuffled", "lettered", "varied"] = "with"
    formats: Formats = Formats()
    examples_per_epoch: Annotated[int, Field(ge=0)] = 0
    """Draws that make an epoch; 0 is the number of examples there are, after the cap.

    Unless data.streaming is on, the draws of the first epoch are made and encoded once, and every
    epoch goes over them. When streaming, each epoch goes on where the one before it ended: other
    examples, or the same ones in other templates."""

    @model_validator(mode="after")
    def _has_cards(self) -> Self:
        if not self.cards and not self.collections:
            raise ValueError("give cards or collections")
        return self


def load_mixture(path: Path) -> Mixture:
    """The mixture in a file. Raises ConfigError with all faults at once."""
    return load_section(path, [], Mixture)
