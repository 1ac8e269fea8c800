"""What a zero-shot evaluation asks: cards' examples in templates, as questions with options or as
prompts for free text. Whatever cannot be asked is counted with its reason. No model here."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from heapq import nsmallest
from itertools import chain
from pathlib import Path

from mmtune.config.cards import Card, Split, load_card, load_cards
from mmtune.config.suite import ZeroShotSuite
from mmtune.data.cards import open_card
from mmtune.errors import ConfigError, FormatError
from mmtune.evaluation.rank_classification import Question
from mmtune.templates.draws import keyed_index, keyed_random
from mmtune.templates.pool import TemplatePool, load_pool
from mmtune.templates.template import Template
from mmtune.types import Conversation, Dropped, Example, Turn

_EXEMPLARS = 1000
"""Of the train split, from which few-shot examples are drawn."""
_WIDE = 2**62

OpenCard = Callable[[Card, Split], Iterator[Example | Dropped]]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question to be answered in free text."""

    example_id: str
    group: str
    conversation: Conversation
    references: tuple[str, ...]


@dataclass(slots=True)
class Task:
    """One card's examples and templates, with what was left out on the way."""

    card: Card
    templates: tuple[Template, ...]
    """Those that ask for the task's own answer"""
    test: list[Example]
    dev: list[Example]
    exemplars: list[Example]
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def ranks(self) -> bool:
        return bool(self.card.choices)


def chosen_cards(suite: ZeroShotSuite) -> list[Card]:
    """The cards that the suite names, in the order of their names.

    Raises ConfigError for a task or cluster that no card has.
    """
    path = Path(suite.cards)
    if path.is_file():
        name = f"{path.stem}."
        own = [text.removeprefix(name) for text in suite.card_overrides if text.startswith(name)]
        cards = {path.stem: load_card(path, own)}
    else:
        cards = load_cards(path, suite.card_overrides)
    clusters = sorted({card.cluster for card in cards.values()})
    faults = _unknown("tasks", suite.tasks, cards) + _unknown("clusters", suite.clusters, clusters)
    if faults:
        raise ConfigError(*faults)
    everything = not suite.tasks and not suite.clusters
    return [
        card
        for name, card in sorted(cards.items())
        if everything or name in suite.tasks or card.cluster in suite.clusters
    ]


def _unknown(
    key: str, names: Sequence[str], known: Sequence[str] | Mapping[str, Card]
) -> list[str]:
    faults = []
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            faults.append(f"{key}: no card has {name!r}; {hint}")
    return faults


def pool_for(suite: ZeroShotSuite, cards: Sequence[Card]) -> TemplatePool:
    """Raises ConfigError where a card has no templates, or theirs cannot be read."""
    folder = Path(suite.templates)
    faults = [
        f"{folder}: no templates for task {card.name!r} ({card.name}.yaml)"
        for card in cards
        if folder.is_dir() and not (folder / f"{card.name}.yaml").is_file()
    ]
    if faults:
        raise ConfigError(*faults)
    return load_pool(folder, [card.name for card in cards])


def gather(suite: ZeroShotSuite, card: Card, pool: TemplatePool) -> Task:
    """Read a card's splits. Raises DataError where they cannot be opened."""
    templates = tuple(t for t in pool.of(card.name) if not t.turned_around)
    dropped: Counter[str] = Counter()
    dev: list[Example] = []
    if suite.dev_split != "none" and getattr(card.splits, suite.dev_split):
        dev = _drawn(card, suite.dev_split, suite.dev_limit, suite.seed, Counter())
    exemplars: list[Example] = []
    if suite.few_shot:
        exemplars = _drawn(card, "train", _EXEMPLARS, suite.seed, Counter())
    test = _drawn(card, suite.split, suite.limit, suite.seed, dropped)
    return Task(card, templates, test, dev, exemplars, dropped)


def _drawn(card: Card, split: Split, limit: int, seed: int, dropped: Counter[str]) -> list[Example]:
    """The split's examples, or `limit` of them drawn by their ids, in the split's order."""
    kept: list[tuple[int, Example]] = []

    def good() -> Iterator[tuple[int, Example]]:
        for number, row in enumerate(open_card(card, split)):
            if isinstance(row, Example):
                yield number, row
            else:
                dropped[row.reason] += 1

    if not limit:
        return [example for _, example in good()]
    kept = nsmallest(limit, good(), key=lambda item: keyed_index(_WIDE, seed, "limit", item[1].id))
    return [example for _, example in sorted(kept, key=lambda item: item[0])]


def questions(
    task: Task, template: Template, examples: Sequence[Example], suite: ZeroShotSuite
) -> Iterator[Question | Dropped]:
    """One for each example. An example is right with its answer and with every choice that its
    references name, and with any option that reads the same."""
    for example in examples:
        try:
            prompt = _prompt(task, template, example, suite)
            options = template.targets(example, suite.options, seed=suite.seed)
        except FormatError as error:
            yield Dropped(example.source, example.where, "not_rendered", str(error))
            continue
        accepted = {example.fields["answer"], *example.references}
        texts = {o for o, c in zip(options, example.choices, strict=True) if c in accepted}
        right = frozenset(n for n, option in enumerate(options) if option in texts)
        if not 0 < len(right) < len(options):
            detail = f"{len(right)} of {len(options)} options count as right"
            yield Dropped(example.source, example.where, "no_right_and_wrong_option", detail)
            continue
        yield Question(example.id, example.where or example.id, prompt, options, right)


def prompts(
    task: Task, template: Template, examples: Sequence[Example], suite: ZeroShotSuite
) -> Iterator[Prompt | Dropped]:
    """One for each example; its references count bare and as the template puts them."""
    for example in examples:
        bare = example.references or (example.fields["answer"],)
        try:
            turns = _prompt(task, template, example, suite)
            phrased = [_answer_turn(template, example, text, suite).text for text in bare]
        except FormatError as error:
            yield Dropped(example.source, example.where, "not_rendered", str(error))
            continue
        references = tuple(dict.fromkeys(chain(bare, phrased)))
        conversation = Conversation(example.id, turns, example.source)
        yield Prompt(example.id, example.where or example.id, conversation, references)


def _answer_turn(template: Template, example: Example, text: str, suite: ZeroShotSuite) -> Turn:
    answered = replace(example, fields={**example.fields, "answer": text})
    return template.render(answered, suite.options, seed=suite.seed).turns[-1]


def _prompt(
    task: Task, template: Template, example: Example, suite: ZeroShotSuite
) -> tuple[Turn, ...]:
    """All before the answer, after the solved examples that few-shot puts first."""
    turns = template.render(example, suite.options, seed=suite.seed).turns[:-1]
    if not suite.few_shot:
        return turns
    others = [one for one in task.exemplars if one.id != example.id]
    stream = keyed_random(suite.seed, "few_shot", example.id)
    shown = stream.sample(others, min(suite.few_shot, len(others)))
    before = [
        replace(turn, learn=False)
        for one in shown
        for turn in template.render(one, suite.options, seed=suite.seed).turns
        if turn.role != "system"
    ]
    system = [turn for turn in turns if turn.role == "system"]
    return (*system, *before, *(turn for turn in turns if turn.role != "system"))


def majority(examples: Sequence[Example]) -> float | None:
    """The share of the commonest answer, where all examples have the same choices."""
    if not examples or len({example.choices for example in examples}) > 1:
        return None
    return Counter(e.fields["answer"] for e in examples).most_common(1)[0][1] / len(examples)
