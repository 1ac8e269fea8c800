"""A Study: what instruction tuning does to tasks of clusters that were held out, as typed data.

Arms: the model as it is; tuned without templates; tuned with templates on 1, 2, ... clusters.
"""

from typing import Annotated, Literal

from pydantic import Field

from mmtune.config.cards import Cluster
from mmtune.config.recipe import Positive
from mmtune.config.section import Section


class HeldOutRows(Section):
    """Rows of each held-out task to ask. Its training rows serve as well: no arm trains on them."""

    train: Positive = 44
    dev: Positive = 12
    test: Positive = 24


class FlanStudy(Section):
    """Wei et al. 2021, figures 6 (number of clusters) and 8 (role of instructions), in small."""

    kind: Literal["flan_study"] = "flan_study"
    recipe: str
    """How every arm is tuned; each gets a mixture, a seed and a folder of its own."""
    cards: str
    templates: str
    held_out: Annotated[list[Cluster], Field(min_length=1)]
    clusters: Annotated[list[Positive], Field(min_length=1)]
    """How many training clusters the arms with templates have."""
    seeds: Annotated[list[int], Field(min_length=1)]
    """Of the training; each seed adds the clusters in another order."""
    examples: Positive
    """Drawn for each arm and epoch of the recipe, the same number in all."""
    turned_around: bool = True
    """Tune on templates that turn the task around, too. Their long answers outweigh the options of
    the others in the loss, which is over tokens."""
    templates_asked: Positive = 4
    """The first so many templates of each task are asked."""
    held_out_rows: HeldOutRows = HeldOutRows()
    trained_rows: Positive = 30
    """Test rows of each task of the other clusters, to see whether tuning took."""
    trained_templates: Positive = 2
    """Templates that they are asked in."""
    stop_token: Literal["counted", "left_out"] = "left_out"
    """As in a zero-shot suite. The untuned model never learnt the token; one rule for all arms."""
    out: str
    """The folder of all that the study writes; finished arms found there are not run again."""
