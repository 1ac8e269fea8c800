"""Preparations of questions and choices: ReCoRD's gaps, WSC273's endings, CoQA's dialogues ...

Each follows what FLAN does to that data set (Wei et al. 2021; its released preprocessing) unless
it says otherwise. It adds columns to the row or replaces them, and reads no file.
"""

import re
from collections.abc import Mapping

from mmtune.data.reasons import BadRow, type_name
from mmtune.data.row_columns import Prepared, Row, mapping_at, numbered, text_at, texts_at

_MARK = "@placeholder"
_BRACKETS = re.compile(r"\[.*?\]\s")
_HEADER = re.compile(r"\[header\]\s")
_OPTION = re.compile(r"\n(?:- )?\(([A-Z])\) ")


def record(row: Row) -> Prepared:
    """ReCoRD: the query up to @placeholder; each entity followed by what comes after it.

    query "@placeholder won the cup", entities ["A", "B"]  ->  query "", options
    ["A won the cup", "B won the cup"]; the @highlight lines after the passage are dropped.
    """
    query = text_at(row, "query")
    if _MARK not in query:
        raise BadRow("wrong_type", f"query has no {_MARK}")
    left, _, right = query.partition(_MARK)
    passage = text_at(row, "passage").partition("\n@highlight")[0]
    entities, answers = texts_at(row, "entities"), texts_at(row, "answers")
    return [
        {
            **row,
            "query_left": left.strip(),
            "passage": passage,
            "options": list(dict.fromkeys(entity + right for entity in entities)),
            "right_answers": [answer + right for answer in dict.fromkeys(answers)],
        }
    ]


def wsc273(row: Row) -> Prepared:
    """The text before the pronoun; each option followed by the text after it."""
    text, place, pronoun = text_at(row, "text"), row.get("pronoun_loc"), text_at(row, "pronoun")
    if not isinstance(place, int):
        raise BadRow("wrong_type", f"pronoun_loc is {type_name(place)}, not a number")
    if text[place : place + len(pronoun)] != pronoun:
        raise BadRow("wrong_type", f"the text has no {pronoun!r} at pronoun_loc {place}")
    after = text[place + len(pronoun) :].strip()
    endings = [_lowered(name, place) + _joined(after) for name in texts_at(row, "options")]
    return [{**row, "context": text[:place].strip(), "endings": endings}]


def winogrande(row: Row) -> Prepared:
    """The sentence up to the gap; each option followed by what comes after it."""
    before, gap, after = text_at(row, "sentence").partition("_")
    if not gap:
        raise BadRow("wrong_type", "the sentence has no gap (_)")
    endings = [text_at(row, name) + after for name in ("option1", "option2")]
    return [{**row, "context": before.strip(), "endings": endings}]


def multirc(row: Row) -> Prepared:
    """One row for each candidate answer; rows that have one answer already pass as they are."""
    answers, labels = row.get("answers"), row.get("labels")
    if not isinstance(answers, list) or not isinstance(labels, list):
        return [dict(row)]
    if len(answers) != len(labels):
        raise BadRow("wrong_type", f"{len(answers)} answers and {len(labels)} labels")
    pairs = zip(answers, labels, strict=True)
    return [{**row, "answer": answer, "label": int(label)} for answer, label in pairs]


def coqa(row: Row) -> Prepared:
    """All questions of a story, numbered, with all answers, numbered.

    questions ["Who?", "When?"]  ->  numbered_questions "1. Who?\\n2. When?"
    """
    answers = row.get("answers")
    texts = answers.get("input_text") if isinstance(answers, Mapping) else answers
    questions = texts_at(row, "questions")
    if not isinstance(texts, list) or len(texts) != len(questions):
        raise BadRow("wrong_type", "questions and answers do not pair up")
    both = {"numbered_questions": numbered(questions), "numbered_answers": numbered(texts)}
    return [{**row, **both}]


def quac(row: Row) -> Prepared:
    """One row for each question of a dialogue, with what was asked and answered before it."""
    questions = texts_at(row, "questions")
    answers = mapping_at(row, "orig_answers").get("texts")
    if not isinstance(answers, list) or len(answers) != len(questions):
        raise BadRow("wrong_type", "questions and orig_answers.texts do not pair up")
    prepared = []
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        turns = zip(questions[:number], answers[:number], strict=True)
        history = "\n".join(f"Q: {asked}\nA: {said}" for asked, said in turns)
        prepared.append({**row, "question": question, "answer": answer, "history": history})
    return prepared


def stsb(row: Row) -> Prepared:
    """The similarity of 0 to 5 rounded to a whole number, half up: 2.5 -> "3"."""
    score = row.get("label", row.get("score"))
    if isinstance(score, str):
        score = _number(score)
    if not isinstance(score, int | float) or isinstance(score, bool):
        raise BadRow("wrong_type", f"the score is {type_name(score)}, not a number")
    return [{**row, "score_text": str(int(score + 0.5)) if score >= 0 else ""}]


def natural_questions(row: Row) -> Prepared:
    """The question with a question mark, which the data set leaves out."""
    question = text_at(row, "question").strip()
    return [{**row, "question": question if question.endswith("?") else f"{question}?"}]


def hellaswag(row: Row) -> Prepared:
    """Without the [header], [title] and [step] marks that WikiHow's rows carry.

    A mark in the context becomes a line break, in an ending nothing.
    """
    context = _HEADER.sub("", text_at(row, "ctx"))
    context = "\n".join(part.strip() for part in _BRACKETS.split(context))
    endings = [_BRACKETS.sub("", ending) for ending in texts_at(row, "endings")]
    return [{**row, "ctx": context, "endings": endings}]


def arc(row: Row) -> Prepared:
    """`answerKey` (a letter, or a number from 1) as the number of a choice, from 0.

    Rows of the columns question, choices {text, label}, answerKey: ARC, OpenBookQA, QASC ...
    """
    choices, key = mapping_at(row, "choices"), row.get("answerKey")
    labels, texts = choices.get("label"), choices.get("text")
    if not isinstance(labels, list) or not isinstance(texts, list) or len(labels) != len(texts):
        raise BadRow("wrong_type", "choices.text and choices.label do not pair up")
    number = labels.index(key) if key in labels else -1
    return [{**row, "options": texts, "number": number}]


def aqua(row: Row) -> Prepared:
    """Options without their letters (`A)21` -> `21`), and the right letter as a number."""
    written = texts_at(row, "options")
    letters = [option[:1] for option in written]
    texts = [option[1:].removeprefix(")").strip() for option in written]
    right = text_at(row, "correct").strip()
    return [{**row, "options": texts, "number": letters.index(right) if right in letters else -1}]


def quarel(row: Row) -> Prepared:
    """A question with `(A) ... (B) ...` at its end, taken apart."""
    question, found, rest = text_at(row, "question").partition("(A)")
    first, second, last = rest.partition("(B)")
    if not found or not second:
        raise BadRow("wrong_type", "the question has no options (A) and (B)")
    options = [first.strip(" ,;"), last.strip(" ,;")]
    return [{**row, "question": question.strip(), "options": options}]


def written_options(row: Row) -> Prepared:
    """A question with its options written under it, `(A) ...`, as the released rationales have it.

    "What is x?\\\\nOptions:\\\\n(A) 1\\\\n(B) 2", answer "(B)"  ->  question, options, number 1
    """
    whole = text_at(row, "question").replace("\\n", "\n")
    head, found, _ = whole.partition("\nOptions:")
    letters, texts = _lettered(whole[len(head) :])
    answer = text_at(row, "answer").strip().strip("()")
    number = letters.index(answer) if found and answer in letters else -1
    rationale = text_at(row, "rationale").replace("\\n", "\n")
    more = {"question": head, "options": texts, "number": number, "rationale": rationale}
    return [{**row, **more}]


def written_answer(row: Row) -> Prepared:
    """Columns of the released rationales, with `\\n` as a line break again."""
    names = ("question", "answer", "rationale")
    return [{**row, **{name: text_at(row, name).replace("\\n", "\n") for name in names}}]


def gsm8k(row: Row) -> Prepared:
    """The worked solution without its calculator marks, and the number after `####`.

    "2+3=<<2+3=5>>5\\n#### 5"  ->  rationale "2+3=5", final "5"
    """
    rationale, found, final = text_at(row, "answer").rpartition("####")
    if not found:
        raise BadRow("empty_answer", "the solution has no #### with the final number")
    clean = re.sub(r"<<[^<>]*>>", "", rationale).strip()
    return [{**row, "rationale": clean, "final": final.strip().replace(",", "")}]


def math_dataset(row: Row) -> Prepared:
    """Question and answer without the mark of bytes that the hub's rows carry: b'4*x = 8\\n'."""
    plain = {}
    for name in ("question", "answer"):
        text = text_at(row, name)
        marked = text[:2] in ("b'", 'b"') and text[-1:] == text[1]
        plain[name] = text[2:-1].replace("\\n", "\n").strip() if marked else text
    return [{**row, **plain}]


def _lettered(text: str) -> tuple[list[str], list[str]]:
    """Letters and texts of the options `(A) ...` that stand one a line."""
    parts = _OPTION.split(text)[1:]
    return parts[0::2], [part.strip() for part in parts[1::2]]


def _lowered(name: str, place: int) -> str:
    """An option that begins with an article, inside a sentence: `The trophy` -> `the trophy`."""
    first, space, rest = name.partition(" ")
    inside = place > 0 and first in ("The", "A", "An", "His", "Her", "My", "Their")
    return first.lower() + space + rest if inside else name


def _joined(after: str) -> str:
    """What follows a name: a full stop or `'s` without a space before it."""
    return after if not after or after[0] in ".,;:!?'" else f" {after}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
