"""What Jinja cannot do to a row before a card reads its fields: one row in, rows out, by name."""

from collections.abc import Callable

from mmtune.data import preparing_questions as questions
from mmtune.data import preparing_texts as texts
from mmtune.data.row_columns import Prepared, Row

PREPARATIONS: dict[str, Callable[[Row], Prepared]] = {
    made.__name__: made
    for made in (
        questions.aqua,
        questions.arc,
        questions.coqa,
        questions.gsm8k,
        questions.hellaswag,
        questions.math_dataset,
        questions.multirc,
        questions.natural_questions,
        questions.quac,
        questions.quarel,
        questions.record,
        questions.stsb,
        questions.winogrande,
        questions.written_answer,
        questions.written_options,
        questions.wsc273,
        texts.cnn_dailymail,
        texts.dart,
        texts.e2e_nlg,
        texts.fix_punct,
        texts.opinion_arguments,
        texts.opinion_reviews,
        texts.qqp,
        texts.reviews,
        texts.samsum,
        texts.true_case,
        texts.web_nlg,
        texts.wiki_bio,
        texts.wiki_lingua,
        texts.word_segment,
    )
}
"""A card names one of these as its `prepare`. Each may raise BadRow."""
