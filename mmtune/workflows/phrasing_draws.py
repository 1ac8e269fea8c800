"""How one draw of a mixture is asked: which format, which template, which exemplars.

Each choice is a pure function of (seed, visit, example id), so that order, ranks and a start from
the middle change nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from mmtune.config.mixtures import Mixture
from mmtune.data.example_store import ExampleStore
from mmtune.data.mixture import is_held_out
from mmtune.data.reasons import UNPHRASABLE
from mmtune.errors import FormatError
from mmtune.templates.draws import Key, keyed_index
from mmtune.templates.formats import FewShot, few_shot
from mmtune.templates.inversion import chain_of_thought, inversions
from mmtune.templates.options import Variant
from mmtune.templates.pool import TemplatePool
from mmtune.templates.template import Template
from mmtune.types import Conversation, Dropped, Example

_WIDE = 2**60


@dataclass(frozen=True, slots=True)
class Exemplars:
    """A store's examples by number, for few-shot prompts: one that is held out from training gives
    its place to the next that is not, so that nothing held out is ever shown."""

    store: ExampleStore
    held_out: float
    """part of the examples"""
    seed: int
    _read: dict[int, Example] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, number: int) -> Example:
        if number not in self._read:  # they are asked for more than once
            self._read[number] = self._first_from(number)
        return self._read[number]

    def _first_from(self, number: int) -> Example:
        for example in self._from(number):
            if not (
                self.held_out and is_held_out(example.id, fraction=self.held_out, seed=self.seed)
            ):
                return example
        return self.store[number]  # all are held out: nothing will be trained on

    def _from(self, number: int) -> Iterator[Example]:
        size = len(self.store)
        return (self.store[(number + step) % size] for step in range(size))


@dataclass(frozen=True, slots=True)
class Phrasing:
    """All that decides how a draw is asked. `held_out`: the part of examples kept from training."""

    mixture: Mixture
    seed: int
    pool: TemplatePool
    held_out: float = 0.0

    def phrased(
        self, example: Example, store: ExampleStore, visit: int, position: int
    ) -> Example | Dropped:
        """The example with turns in place of its fields, on its `visit`-th pass, its source the
        card's name; Dropped where it cannot be said. `position` is its number in `store`."""
        try:
            said = self._said(example, store, visit, position)
        except FormatError as error:
            return Dropped(example.task, example.where, UNPHRASABLE, str(error))
        name = f"{example.id}#{visit}" if visit else example.id
        return replace(example, id=name, source=example.task, fields={}, turns=said.turns)

    def _said(
        self, example: Example, store: ExampleStore, visit: int, position: int
    ) -> Conversation:
        formats, seed = self.mixture.formats, self.seed + visit
        if "rationale" in example.fields:
            turned = _inverted(example.task, frozenset(example.fields))
            if turned and self._falls(formats.inverted, visit, "inverted", example.id):
                number = keyed_index(len(turned), self.seed, visit, "inversion", example.id)
                return turned[number].render(example, seed=seed)
        template = self._template(example, visit, position)
        variant = self._variant(example, visit)
        if self._falls(formats.few_shot, visit, "few-shot", example.id):
            exemplars = Exemplars(store, self.held_out, self.seed)
            if said := self._with_exemplars(example, exemplars, template, variant, visit):
                return said
        return template.render(example, variant, seed=seed)

    def _template(self, example: Example, visit: int, position: int) -> Template:
        """Round robin moves on by one with each pass."""
        template = self.pool.choose(
            example, self.mixture.templates, seed=self.seed, epoch=visit, position=position + visit
        )
        if "rationale" in example.fields:
            if self._falls(self.mixture.formats.reasoned, visit, "reasoned", example.id):
                return _reasoned(template)
        return template

    def _variant(self, example: Example, visit: int) -> Variant:
        bare = self.mixture.formats.without_options
        if example.choices and self._falls(bare, visit, "without options", example.id):
            return "without"
        return self.mixture.options

    def _with_exemplars(
        self,
        example: Example,
        exemplars: Exemplars,
        template: Template,
        variant: Variant,
        visit: int,
    ) -> Conversation | None:
        """Exemplars are of the same data set, in the same template; None where none can be shown:
        an exemplar that cannot be said is no fault of the example."""
        formats, seed = self.mixture.formats, self.seed + visit
        rule = FewShot(formats.exemplars, "one_turn", formats.exemplar_chars)

        def phrase(other: Example) -> Conversation:
            return template.render(other, variant, seed=seed)

        try:
            return few_shot(example, exemplars, phrase, rule, seed=seed, count_tokens=len)
        except FormatError:
            return None

    def _falls(self, share: float, *key: Key) -> bool:
        """Whether the draw of this key is among a part of all."""
        if share in (0, 1):
            return share == 1
        return keyed_index(_WIDE, self.seed, *key) < share * _WIDE


@lru_cache(maxsize=1024)
def _inverted(task: str, fields: frozenset[str]) -> tuple[Template, ...]:
    """None where it is not one field that holds the question."""
    asked = sorted(fields - {"rationale", "answer"})
    return tuple(inversions(task, fields, asked[0])) if len(asked) == 1 else ()


@lru_cache(maxsize=16_384)
def _reasoned(template: Template) -> Template:
    asks = not template.turned_around and "answer" in template.names
    return chain_of_thought(template) if asks else template
