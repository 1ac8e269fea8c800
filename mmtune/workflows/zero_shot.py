"""Zero-shot evaluation: cards, templates and a model brought together; a report and a table out."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from mmtune.config.suite import ZeroShotSuite
from mmtune.encoding.conversations import encode_many, encode_prompt
from mmtune.encoding.samples import TokenSample, Unencodable
from mmtune.errors import DataError, ModelError
from mmtune.evaluation.likelihood import DECODER, ENCODER_DECODER, log_probabilities
from mmtune.evaluation.rank_classification import Likelihood, Likelihoods, rank
from mmtune.evaluation.template_summary import (
    TaskMarks,
    TemplateMarks,
    rank_marks,
    text_marks,
    zero_shot_report,
)
from mmtune.evaluation.text_metrics import HEADLINES
from mmtune.evaluation.tiles import TILE_TOKENS
from mmtune.families.family import Family, GenerationSettings, Loaded, family_of
from mmtune.templates.template import Template
from mmtune.types import Conversation, Dropped, Example
from mmtune.workflows.generate import model_path
from mmtune.workflows.terminal import console
from mmtune.workflows.zero_shot_table import table
from mmtune.workflows.zero_shot_tasks import (
    Prompt,
    Task,
    chosen_cards,
    gather,
    majority,
    pool_for,
    prompts,
    questions,
)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Bench:
    """A model and what it is asked by."""

    suite: ZeroShotSuite
    kind: Family
    loaded: Loaded
    likelihoods: Likelihoods


@dataclass(frozen=True, slots=True)
class Marked:
    """One template on one split."""

    marks: TemplateMarks
    dropped: Counter[str]
    chances: Mapping[str, float]
    """Of a blind guess, by example"""


def run(suite: ZeroShotSuite) -> dict[str, Any]:
    """Evaluate, write the report to `suite.out`, print the table, and return the report.

    Raises InputError with every fault in the cards, templates, rows or model.
    """
    tasks = read_tasks(suite)
    bench = open_bench(suite)
    marks = [mark_task(bench, task) for task in tasks]
    report = {"settings": _settings(suite, bench.loaded)}
    report |= zero_shot_report(marks, seed=suite.seed, resamples=suite.resamples)
    out = Path(suite.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    out.write_text(text + "\n", encoding="utf-8")
    console().print(table(report), f"report: {out}", sep="\n")
    return report


def read_tasks(suite: ZeroShotSuite) -> list[Task]:
    """Every task's rows and templates, read before the model is. Raises with all faults at once."""
    cards = chosen_cards(suite)
    pool = pool_for(suite, cards)
    tasks, faults = [], list[str]()
    for card in cards:
        try:
            task = gather(suite, card, pool)
        except DataError as error:
            faults += error.faults
            continue
        if not task.test:
            counts = ", ".join(f"{reason} {n}" for reason, n in task.dropped.items()) or "no row"
            faults.append(f"card {card.name}: split {suite.split} has no usable row ({counts})")
        elif not task.templates:
            faults.append(f"{suite.templates}/{card.name}.yaml: all templates are turned around")
        tasks.append(task)
    if faults:
        raise DataError(*faults)
    return tasks


def open_bench(suite: ZeroShotSuite) -> Bench:
    """Load the model, with attention to one document at a time unless the suite says otherwise:
    the one kind whose result does not depend on the document's place in the row."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    attention = "documents" if suite.model.attention == "auto" else suite.model.attention
    update = {"path": model_path(suite.model.path), "attention": attention}
    section = suite.model.model_copy(update=update)
    kind = family_of(section)
    loaded = kind.load(section, device, seed=suite.seed, supervise="assistant")
    return Bench(suite, kind, loaded, token_likelihoods(loaded, suite))


def token_likelihoods(loaded: Loaded, suite: ZeroShotSuite) -> Likelihoods:
    """Of a decoder or an encoder-decoder: conversations in its own chat format, as served.

    Raises ModelError for an encoder-decoder that cannot be fed packed rows (BART's positions).
    """
    pairs = loaded.chat_format.pairs
    if pairs and not loaded.model.packs:
        raise ModelError(
            f"model.path {suite.model.path!r}: its documents are not computed in a packed row as "
            "alone, and likelihoods are made from packed rows; evaluate another model"
        )

    def likelihoods(conversations: Sequence[Conversation]) -> list[Likelihood | Dropped]:
        found = [
            _scorable(sample, loaded, suite.stop_token == "left_out")
            for sample in encode_many(conversations, loaded.chat_format)
        ]
        samples = [one for one in found if isinstance(one, TokenSample)]
        tokens = sum(len(sample.ids) for sample in samples)
        with tqdm(total=tokens, unit="tok", unit_scale=True, disable=None, leave=False) as bar:
            sums = log_probabilities(
                loaded.model,
                samples,
                loaded.device,
                laying=ENCODER_DECODER if pairs else DECODER,
                batch_tokens=suite.batch_tokens,
                progress=bar.update,
            )
        rest = iter(zip(samples, sums, strict=True))
        return [one if isinstance(one, Dropped) else _likelihood(*next(rest)) for one in found]

    return likelihoods


def _likelihood(sample: TokenSample, log_probability: float) -> Likelihood:
    return Likelihood(log_probability, int(np.count_nonzero(sample.supervised[1:])))


def _scorable(
    sample: TokenSample | Dropped, loaded: Loaded, leave_stop_out: bool
) -> TokenSample | Dropped:
    """The sample if the model has positions for it, its stop token left out where asked for."""
    if isinstance(sample, Dropped):
        return sample
    if len(sample.ids) > loaded.max_tokens:
        detail = f"{len(sample.ids)} tokens; the model was made for {loaded.max_tokens}"
        return Dropped(sample.source, sample.example_id, "too_long", detail)
    if not leave_stop_out:
        return sample
    stop = int(np.flatnonzero(sample.supervised)[-1])  # of an answer, the last is its stop
    return replace(sample, ids=sample.ids[:stop], supervised=sample.supervised[:stop])


def mark_task(bench: Bench, task: Task) -> TaskMarks:
    """Every template of a task on test and dev. Only what test leaves out is counted."""
    mark = _ranked if task.ranks else _written
    test = [mark(bench, task, template, task.test) for template in task.templates]
    dev = [mark(bench, task, template, task.dev) for template in task.templates if task.dev]
    chances = {example: chance for one in test for example, chance in one.chances.items()}
    metric = task.card.metric
    return TaskMarks(
        task=task.card.name,
        cluster=task.card.cluster,
        kind="rank" if task.ranks else "generate",
        headline=bench.suite.score if task.ranks else HEADLINES.get(metric, metric),
        test=[one.marks for one in test],
        dev=[one.marks for one in dev],
        chance=float(np.mean(list(chances.values()))) if chances else None,
        majority=majority(task.test) if task.ranks else None,
        dropped=sum((one.dropped for one in test), Counter(task.dropped)),
    )


def _ranked(bench: Bench, task: Task, template: Template, examples: Sequence[Example]) -> Marked:
    dropped: Counter[str] = Counter()
    asked = list(_kept(questions(task, template, examples, bench.suite), template, dropped))
    found = rank(asked, bench.likelihoods, bench.suite.neutral_prompt) if asked else []
    ranked = list(_kept(found, template, dropped))
    chances = {one.example_id: one.chance for one in ranked}
    return Marked(rank_marks(template.name, ranked), dropped, chances)


def _written(bench: Bench, task: Task, template: Template, examples: Sequence[Example]) -> Marked:
    dropped: Counter[str] = Counter()
    rendered = _kept(prompts(task, template, examples, bench.suite), template, dropped)
    tried = (_answerable(prompt, bench) for prompt in rendered)
    asked = list(_kept(tried, template, dropped))
    settings = GenerationSettings(
        max_new_tokens=bench.suite.max_new_tokens,
        batch_size=bench.suite.generation_batch,
        seed=bench.suite.seed,
    )
    conversations = [prompt.conversation for prompt in asked]
    outputs = bench.kind.generate(bench.loaded, conversations, settings) if asked else []
    marks = text_marks(
        template.name,
        [prompt.group for prompt in asked],
        [output.text.strip() for output in outputs],
        [prompt.references for prompt in asked],
    )
    return Marked(marks, dropped, {})


def _answerable(prompt: Prompt, bench: Bench) -> Prompt | Dropped:
    try:
        tokens = len(encode_prompt(prompt.conversation, bench.loaded.chat_format))
    except Unencodable as fault:
        return Dropped("", prompt.example_id, fault.reason, fault.detail)
    if tokens + bench.suite.max_new_tokens <= bench.loaded.max_tokens:
        return prompt
    return Dropped("", prompt.example_id, "too_long", f"{tokens} tokens and the answer")


def _kept(
    found: Iterable[Item | Dropped], template: Template, dropped: Counter[str]
) -> Iterator[Item]:
    """What was not dropped; the rest is counted, by template and reason."""
    for one in found:
        if isinstance(one, Dropped):
            dropped[f"{template.name}: {one.reason}"] += 1
        else:
            yield one


def _settings(suite: ZeroShotSuite, loaded: Loaded) -> dict[str, Any]:
    """What the report must say of how it was made."""
    return suite.model_dump(mode="json") | {
        "chat_format": loaded.chat_format.kind,
        "device": str(loaded.device),
        "tile_tokens": TILE_TOKENS,
        "notes": list(loaded.notes),
    }
