"""The README.md of a tuned model's folder, from facts the run knows. Pure text; writes nothing."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSource:
    """One set of training rows."""

    name: str
    rows: int
    used: int
    """Rows that became samples."""
    sha256: str
    """Of the tokens made of its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the card says."""

    name: str
    base_model: str
    """As a reader elsewhere can use it: a hub id or `pocket:NAME`, not a path of this machine."""
    base_revision: str = ""
    hub_id: bool = False
    """`base_model` is a hub id: it is linked in the metadata."""
    sources: Sequence[CardSource] = ()
    recipe_sha256: str = ""
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Dotted recipe keys and their values."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    chat: bool = True
    """The tokenizer has a chat template."""
    pairs: bool = False
    """The model is an encoder-decoder."""
    version: str = ""
    """Of mmtune."""


def model_card(facts: CardFacts) -> str:
    """Markdown with YAML front matter, ending in a newline.

    Text from the recipe cannot break out of its place: in the front matter it is quoted, in the
    body line ends, bars and markup characters are made harmless.
    """
    blocks = [
        "\n".join(_front_matter(facts)),
        f"# {_plain(facts.name)}",
        _about(facts),
        "## Data",
        _table(
            ("source", "rows", "used", "SHA-256 of its tokens"),
            ((s.name, str(s.rows), str(s.used), s.sha256) for s in facts.sources),
        ),
        "## Settings",
        _table(("key", "value"), ((key, str(value)) for key, value in facts.settings.items())),
        f"Recipe SHA-256: {_code(facts.recipe_sha256)} (`recipe.yaml` in the run's folder)."
        if facts.recipe_sha256
        else "",
        "## Metrics",
        _table(("metric", "value"), ((key, f"{v:.6g}") for key, v in facts.metrics.items())),
        "## Use",
        _USE_PAIRS if facts.pairs else _USE_CHAT if facts.chat else _USE_TEXT,
        "## Licence",
        "Not known to the tool that wrote this card. The licences of the base model and of every "
        "data source above apply; add one here before publishing.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _front_matter(facts: CardFacts) -> Iterator[str]:
    yield "---"
    yield "library_name: transformers"
    yield f"pipeline_tag: {'text2text-generation' if facts.pairs else 'text-generation'}"
    if facts.hub_id:
        yield f"base_model: {json.dumps(facts.base_model)}"  # a JSON string is a YAML string
    yield "tags:"
    yield from (f"- {tag}" for tag in ("mmtune", "instruction-tuning"))
    yield "---"


def _about(facts: CardFacts) -> str:
    revision = f", revision {_code(facts.base_revision)}" if facts.base_revision else ""
    version = f" {_plain(facts.version)}" if facts.version else ""
    used = sum(source.used for source in facts.sources)
    return (
        f"Instruction-tuned from {_code(facts.base_model)}{revision} on {used:,} examples "
        f"with mmtune{version}."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows]
    if not body:
        return "None recorded."
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *body])


_MARKUP = str.maketrans({mark: f"\\{mark}" for mark in "\\`*[]<>|#"})


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return " ".join(text.split()).translate(_MARKUP)


def _code(text: str) -> str:
    return f"`{' '.join(text.split()).replace('`', '')}`"


_USE_CHAT = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained(".")
turns = [{"role": "user", "content": "Hello"}]
inputs = tokenizer.apply_chat_template(
    turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**inputs, max_new_tokens=64)[0, inputs["input_ids"].shape[1]:]
print(tokenizer.decode(answer, skip_special_tokens=True))
```"""

_USE_PAIRS = """\
```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForSeq2SeqLM.from_pretrained(".")
turns = [{"role": "user", "content": "Hello"}]
inputs = tokenizer.apply_chat_template(
    turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**inputs, max_new_tokens=64)[0]
print(tokenizer.decode(answer, skip_special_tokens=True))
```"""

_USE_TEXT = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained(".")
inputs = tokenizer("Once", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=64)[0]))
```"""
