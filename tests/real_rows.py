"""Which shipped card fits which file of the shared data, and what it has to be told of it.

A file in another layout than the hub's is read with overrides, as a user would write them.
"""

from dataclasses import dataclass
from pathlib import Path

from mmtune.config.cards import Card, Split, load_card
from mmtune.data.cards import open_card
from mmtune.types import Dropped, Example

CARDS = Path(__file__).resolve().parent.parent / "datasets_cfg" / "cards"
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


def card_for(rows: Rows, shared: Path) -> Card:
    whole = [f"splits.{name}={name}" for name in ("train", "test")]
    place = f"path={shared / 'data' / rows.place}"
    quoted = [_quoted(text) for text in rows.overrides]
    return load_card(CARDS / f"{rows.card}.yaml", [place, *whole, *quoted])


def opened(
    rows: Rows, shared: Path, split: Split, max_rows: int = 0
) -> tuple[Card, list[Example | Dropped]]:
    card = card_for(rows, shared)
    return card, list(open_card(card, split, max_rows=max_rows))


def _quoted(text: str) -> str:
    """Jinja begins like a YAML mapping, so it stands in quotes."""
    key, _, value = text.partition("=")
    if value and not value.startswith("{{") and "{{" not in value:
        return text
    return f'{key}="{value}"'
