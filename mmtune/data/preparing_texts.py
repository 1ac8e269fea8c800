"""Preparations of texts to be summarised, classified, or written from facts.

Each follows what FLAN does to that data set (Wei et al. 2021; its released preprocessing) unless
it says otherwise. It adds columns to the row or replaces them, and reads no file.
"""

import re
from collections.abc import Mapping
from typing import Any

from mmtune.data.reasons import BadRow, type_name
from mmtune.data.row_columns import Prepared, Row, mapping_at, numbered, text_at, texts_at

_PUNCTUATION = re.compile(r"[^\w\s]")
_TAG = re.compile(r"<[^<>\n]*>")
_CELL = re.compile(r"\[.*?\]")
_SLOT = re.compile(r"([^\[\],][^\[\]]*)\[([^\]]*)\]")
_DATELINES = ("2013 . ", "2014 . ", "2012 . ", ") -- ")
_MAX_NUMBERED = 10


def cnn_dailymail(row: Row) -> Prepared:
    """The article without the dateline that stands before `(CNN) -- ` or the like."""
    article = text_at(row, "article")
    for mark in _DATELINES:
        head, found, rest = article.partition(mark)
        article = rest if found and len(head) < 300 else article
    return [{**row, "article": article}]


def samsum(row: Row) -> Prepared:
    """The chat with plain line ends and without tags such as <file_photo>."""
    dialogue = text_at(row, "dialogue").replace("\r\n", "\n").replace("\r", "\n")
    return [{**row, "dialogue": _TAG.sub(" ", dialogue)}]


def reviews(row: Row) -> Prepared:
    """A review's text without HTML breaks and without escapes that a CSV left in it."""
    text = text_at(row, "text").replace("<br />", "\n").replace('\\""', '"').replace("\\n", " ")
    return [{**row, "text": text.replace('\\"', '"')}]


def qqp(row: Row) -> Prepared:
    """The two questions with the doubled quotes of a CSV made one."""
    pair = {name: text_at(row, name).replace('""', "'") for name in ("question1", "question2")}
    return [{**row, **pair}]


def dart(row: Row) -> Prepared:
    """Triples as lines `subject, relation, object`, without cells such as [TABLECONTEXT].

    One row a written text: where a row holds several, the first is learnt, all count as right.
    """
    triples = row.get("tripleset")
    if not isinstance(triples, list):
        raise BadRow("wrong_type", f"tripleset is {type_name(triples)}, not a list")
    lines = [", ".join(filter(None, (_cell(part) for part in triple))) for triple in triples]
    return [{**row, "facts": "\n".join(lines)}]


def web_nlg(row: Row) -> Prepared:
    """`Abilene,_Texas | isPartOf | Texas` as the line `Abilene, Texas, isPartOf, Texas`."""
    facts = [line.replace("_", " ").replace(" | ", ", ") for line in texts_at(row, "input")]
    return [{**row, "facts": "\n".join(facts)}]


def e2e_nlg(row: Row) -> Prepared:
    """`name[Blue Spice], eatType[pub]` as `name = Blue Spice, eatType = pub`."""
    column = "meaning_representation" if "meaning_representation" in row else "mr"
    slots = [f"{key.strip()} = {value}" for key, value in _SLOT.findall(text_at(row, column))]
    return [{**row, "slots": ", ".join(slots)}]


def wiki_bio(row: Row) -> Prepared:
    """An infobox as lines `name: value`; tokenised brackets and dashes as they are written."""
    box = mapping_at(mapping_at(row, "input_text"), "table")
    pairs = zip(texts_at(box, "column_header"), texts_at(box, "content"), strict=False)
    facts = [f"{key.replace('_', ' ')}: {value.strip()}" for key, value in pairs]
    about = text_at(mapping_at(row, "input_text"), "context").strip()
    text = text_at(row, "target_text").replace("-lrb-", "(").replace("-rrb-", ")")
    more = {"facts": "\n".join(facts), "person": about, "text": text}
    return [{**row, **more}]


def wiki_lingua(row: Row) -> Prepared:
    """A how-to article's steps as one text, its headline sentences as the summary."""
    article = mapping_at(row, "article")
    documents, summaries = texts_at(article, "document"), texts_at(article, "summary")
    source = "\n".join(text.replace("\n", " ").strip() for text in documents)
    target = " ".join(text.replace("\n", " ").strip() for text in summaries)
    return [{**row, "source": source, "target": target}] if documents else []


def true_case(row: Row) -> Prepared:
    """The English sentence in lower case; a sentence that is so already asks nothing."""
    text = _english(row)
    return [{**row, "lower": text.lower(), "text": text}] if text.lower() != text else []


def fix_punct(row: Row) -> Prepared:
    """The English sentence without punctuation; one that has none asks nothing."""
    text = _english(row)
    bare = _PUNCTUATION.sub("", text)
    return [{**row, "no_punct": bare, "text": text}] if bare != text else []


def word_segment(row: Row) -> Prepared:
    """The English sentence without its spaces. FLAN keeps sentences of one word; they ask nothing
    and are left out here."""
    text = _english(row)
    bare = text.replace(" ", "")
    return [{**row, "no_space": bare, "text": text}] if bare != text else []


def opinion_reviews(row: Row) -> Prepared:
    """Up to ten critics' reviews of a film, numbered; its name with spaces for underlines."""
    reviews_of = _opinions(row, "_critics")
    name = text_at(row, "_movie_name").replace("_", " ")
    return [{**row, "movie": name, "numbered_reviews": numbered(reviews_of[:_MAX_NUMBERED])}]


def opinion_arguments(row: Row) -> Prepared:
    """Up to ten arguments of a debate, numbered."""
    arguments = _opinions(row, "_argument_sentences")
    return [{**row, "numbered_arguments": numbered(arguments[:_MAX_NUMBERED])}]


def _english(row: Row) -> str:
    pair = row.get("translation", row)
    text = pair.get("en") if isinstance(pair, Mapping) else None
    if not isinstance(text, str):
        raise BadRow("missing_field", "no English text (en)")
    return text


def _opinions(row: Row, name: str) -> list[str]:
    """Opinions as a list of texts or of {key, value}, or as one object {key: text}."""
    found = row.get(name)
    values = list(found.values()) if isinstance(found, Mapping) else found
    if isinstance(values, list) and len(values) == 2 and isinstance(values[1], list):
        values = values[1]  # {"key": [...], "value": [...]}
    if not isinstance(values, list):
        raise BadRow("wrong_type", f"{name} is {type_name(found)}, not a list of opinions")
    return [str(v.get("value", "")) if isinstance(v, Mapping) else str(v) for v in values]


def _cell(part: Any) -> str:
    return _CELL.sub("", str(part)).replace("_", " ").strip()
