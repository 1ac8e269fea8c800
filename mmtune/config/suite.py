"""A Suite: one evaluation as typed data. Defaults live here and nowhere else."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from mmtune.config.recipe import NotNegative, Positive, TextModel
from mmtune.config.section import Section
from mmtune.errors import ConfigError


class ZeroShotSuite(Section):
    """A model on tasks that it was not tuned on: choices ranked, free text generated, every
    template of a task in turn."""

    kind: Literal["zero_shot"] = "zero_shot"
    model: TextModel
    cards: str = "datasets_cfg/cards"
    """A folder of cards, or one card."""
    templates: str = "datasets_cfg/templates"
    """A folder of template files, one for each task."""
    card_overrides: list[str] = []
    """Keys of cards, such as `rte.path=rows.jsonl`."""
    tasks: list[str] = []
    """Names of cards; with `clusters` empty too: all."""
    clusters: list[str] = []
    """All cards of these clusters."""
    split: Literal["train", "dev", "test"] = "test"
    dev_split: Literal["train", "dev", "test", "none"] = "dev"
    """Where the best template is chosen; a task that has no such split goes without."""
    limit: NotNegative = 0
    """Examples of a task, drawn by seed; 0 is all."""
    dev_limit: NotNegative = 200
    """As `limit`, of the dev split; 200 is FLAN's (Wei et al. 2021, section 3)."""
    options: Literal["with", "without", "shuffled", "lettered", "varied"] = "with"
    """How a template shows the answers there are."""
    few_shot: NotNegative = 0
    """Solved examples of the train split put before each question, as turns of the dialogue."""
    score: Literal["sum", "per_token", "per_character", "pmi"] = "sum"
    """The one of the four that stands for a task in its cluster; all are reported."""
    stop_token: Literal["counted", "left_out"] = "counted"
    """Whether an answer's end is part of its likelihood. Counted, an answer that begins another
    ("not" and "not sure") is not favoured for being shorter, and it is what was trained; left out
    for base models, which never learnt the token."""
    neutral_prompt: Annotated[str, Field(min_length=1)] = "Answer:"
    """What PMI compares with; see `evaluation/rank_classification.py`."""
    max_new_tokens: Positive = 64
    """Of an answer in free text."""
    generation_batch: Positive = 1
    """Answers written together. Batches of prompts are padded, which can change last bits, and a
    word with them; 1 is free of that."""
    batch_tokens: Positive = 262_144
    """Tokens that are sorted into forwards together: changes time and memory, no result."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Of the bootstrap."""
    seed: NotNegative = 0
    out: str = "zero_shot.json"
    """The report."""


def zero_shot_suite(values: Mapping[str, Any]) -> ZeroShotSuite:
    """A suite from values that are in no file. Raises ConfigError, one fault a value."""
    try:
        return ZeroShotSuite.model_validate(values)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: found {fault['input']!r}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise ConfigError(*faults) from None
