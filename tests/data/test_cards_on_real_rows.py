"""Shipped cards on real rows, cluster by cluster, where the shared data has them.

A file in another layout than the hub's is read with overrides, as a user would write them.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mmtune.config.cards import Card, Split, load_card
from mmtune.data.cards import open_card
from mmtune.types import Dropped, Example

CARDS = Path(__file__).resolve().parents[2] / "datasets_cfg" / "cards"
ENTAILED = "label={{ 0 if label == 'entailment' else 1 }}"
THREE = "label={{ ['entailment', 'neutral', 'contradiction'].index(label) }}"
PAIR = ("fields.premise={{ premise }}", "fields.hypothesis={{ hypothesis }}")
RELEASED = "columns=[question, answer, rationale]"
FOUNDRY = ("prepare=", "keep=", "label={{ gold }}", "choices={{ choices }}")


@dataclass(frozen=True)
class Rows:
    """Where real rows are, and what the card has to be told of them."""

    card: str
    place: str
    train: int
    """Examples among the training rows, 0 where there are none."""
    test: int
    overrides: tuple[str, ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()
    """Rows that are broken where they come from: AQuA's options `kmph`, five times over."""


def question(column: str = "query") -> str:
    return f"fields.question={{{{ {column} | replace('Question: ', '') }}}}"


REAL = [
    Rows("rte", "clusters/nli/rte", 2490, 277, (*PAIR, ENTAILED)),
    Rows("snli", "clusters/nli/snli", 3000, 1000, (*PAIR, THREE, "keep=")),
    Rows(
        "cb",
        "clusters/nli/commitment_bank",
        250,
        56,
        ("label={{ ['entailment', 'contradiction', 'neutral'].index(label) }}",),
    ),
    Rows(
        "wnli",
        "clusters/nli/wnli",
        635,
        71,
        (*PAIR, "label={{ 1 if label == 'entailment' else 0 }}"),
    ),
    Rows(
        "piqa",
        "clusters/qa_commonsense/llmfoundry/piqa.jsonl",
        1838,
        0,
        (
            *FOUNDRY,
            "fields.goal={{ query | replace('Question: ', '') }}",
            "fields.solution1={{ row['choices'][0] }}",
            "fields.solution2={{ row['choices'][1] }}",
        ),
    ),
    Rows("sst2", "clusters/sentiment_topic/sst2", 3000, 1821, ("fields.sentence={{ text }}",)),
    Rows("mrpc", "clusters/paraphrase_sts/mrpc", 3000, 1725),
    Rows("stsb", "clusters/paraphrase_sts/sts2015", 0, 3000),
    Rows(
        "arc_easy",
        "clusters/qa_commonsense/llmfoundry/arc_easy.jsonl",
        2376,
        0,
        (*FOUNDRY, question()),
    ),
    Rows(
        "trivia_qa",
        "clusters/qa_commonsense/llmfoundry/triviaqa_sm_sub.jsonl",
        3000,
        0,
        (
            "keep=",
            "answer={{ answer }}",
            "references={{ [answer] + aliases }}",
            "fields.question={{ context | replace('Question: ', '') | replace('Answer:', '') }}",
        ),
    ),
    Rows(
        "e2e_nlg",
        "clusters/data_to_text/e2e",
        3000,
        3000,
        ("answer={{ ref }}", "references="),
    ),
    Rows(
        "wmt16_deen",
        "clusters/translation_captions/multi30k",
        3000,
        1000,
        ("answer={{ en }}", "fields.english={{ en }}", "fields.foreign={{ de }}"),
    ),
    Rows(
        "openbookqa",
        "clusters/qa_commonsense/llmfoundry/openbook_qa.jsonl",
        500,
        0,
        (*FOUNDRY, question(), "fields.fact=", "optional=[fact]"),
    ),
    Rows("squad_v1", "clusters/qa_commonsense/xquad_en", 0, 1190, ("references={{ answers }}",)),
    Rows(
        "winogrande",
        "clusters/qa_commonsense/llmfoundry/winogrande.jsonl",
        1267,
        0,
        (
            "prepare=",
            "choices={{ context_options }}",
            "label={{ gold }}",
            "fields.context={{ continuation }}",
            "fields.sentence={{ continuation }}",
            "fields.option1={{ context_options[0] }}",
            "fields.option2={{ context_options[1] }}",
        ),
    ),
    Rows(
        "trec",
        "clusters/sentiment_topic/trec",
        3000,
        500,
        ("label={{ ['ABBR', 'ENTY', 'DESC', 'HUM', 'LOC', 'NUM'].index(label.split(':')[0]) }}",),
    ),
    Rows(
        "ag_news",
        "clusters/sentiment_topic/ag_news",
        3000,
        1000,
        ("fields.text={{ title }} {{ description }}", "label={{ label | int - 1 }}"),
    ),
    Rows("samsum", "clusters/summarisation/dialogsum", 500, 0),
    Rows("gsm8k", "text/gsm8k", 3000, 500),
    Rows(
        "strategyqa",
        "text/flan_cot/strategyqa_train.tsv",
        2061,
        0,
        (RELEASED, "prepare=written_answer", "fields.rationale={{ rationale }}"),
    ),
    Rows(
        "aqua",
        "text/flan_cot/aqua_train.tsv",
        2722,
        0,
        (RELEASED, "prepare=written_options"),
        (("too_few_choices", 6),),
    ),
    Rows(
        "qasc_cot",
        "text/flan_cot/qasc_train.tsv",
        1084,
        0,
        (RELEASED, "prepare=written_options", "fields.rationale={{ rationale }}"),
    ),
]


def opened(
    rows: Rows, shared: Path, split: Split, max_rows: int = 0
) -> tuple[Card, list[Example | Dropped]]:
    whole = [f"splits.{name}={name}" for name in ("train", "test")]
    place = f"path={shared / 'data' / rows.place}"
    quoted = [_quoted(text) for text in rows.overrides]
    card = load_card(CARDS / f"{rows.card}.yaml", [place, *whole, *quoted])
    return card, list(open_card(card, split, max_rows=max_rows))


def _quoted(text: str) -> str:
    """Jinja begins like a YAML mapping, so it stands in quotes."""
    key, _, value = text.partition("=")
    if value and not value.startswith("{{") and "{{" not in value:
        return text
    return f'{key}="{value}"'


@pytest.mark.parametrize(
    ("rows", "split"),
    [(r, s) for r in REAL for s in ("train", "test") if getattr(r, s)],
    ids=lambda value: value.card if isinstance(value, Rows) else value,
)
def test_every_real_row_becomes_an_example_or_is_told(
    rows: Rows, split: Split, shared: Path
) -> None:
    card, found = opened(rows, shared, split)
    examples = [one for one in found if isinstance(one, Example)]
    left_out = Counter(one.reason for one in found if isinstance(one, Dropped))
    assert len(examples) == getattr(rows, split), left_out
    assert left_out == dict(rows.dropped)
    for example in examples:
        assert set(example.fields) == {*card.fields, "answer"}
        assert all(example.fields[name] for name in card.fields if name not in card.optional)
        assert not example.choices or example.fields["answer"] in example.choices
        assert not example.references or example.fields["answer"] in example.references
    assert len({example.id for example in examples}) == len(examples)


def test_no_class_takes_all_real_rows(shared: Path) -> None:
    """A label that is read from the wrong place would."""
    for rows in REAL:
        card, found = opened(rows, shared, "train" if rows.train else "test", max_rows=800)
        if isinstance(card.choices, list) and card.choices:
            counts = Counter(one.fields["answer"] for one in found if isinstance(one, Example))
            assert set(counts) == set(card.choices), rows.card
            assert max(counts.values()) < 0.8 * counts.total(), rows.card


def test_known_rows_come_out_as_they_should(shared: Path) -> None:
    first: dict[str, Any] = {}
    for rows in REAL:
        _, found = opened(rows, shared, "train" if rows.train else "test", max_rows=1)
        first[rows.card] = next(one for one in found if isinstance(one, Example))
    assert first["rte"].fields["answer"] == "no"
    assert first["gsm8k"].fields["answer"] == "72"
    assert "<<" not in first["gsm8k"].fields["rationale"]
    assert first["strategyqa"].fields["answer"] == "yes"
    assert first["e2e_nlg"].fields["slots"].startswith("name = Alimentum, area = ")
    assert len(first["aqua"].choices) == 5 and len(first["qasc_cot"].choices) == 8
    assert first["ag_news"].fields["answer"] == "Business"
    assert first["trec"].fields["answer"] == "description"
    assert not first["mrpc"].fields["sentence2"].endswith("\r")
    assert first["trivia_qa"].references[0] == "Onion"
    assert not first["trivia_qa"].fields["question"].endswith("Answer:")
    assert first["stsb"].fields["answer"] == "3"
