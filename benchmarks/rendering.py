"""How many examples a minute are phrased by the shipped templates, on one core.

    python benchmarks/rendering.py [--examples 100000] [--field-chars 300]

Every task of datasets_cfg/templates takes its share of made-up examples; each gets a template by
the keyed draw and is rendered, once for each options variant, and once by Jinja alone for
comparison. The last line is JSON: renderings a minute.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mmtune.templates import template as template_module
from mmtune.templates.filling import Plan
from mmtune.templates.options import VARIANTS, Variant
from mmtune.templates.pool import TemplatePool, load_pool
from mmtune.templates.template import SHOWN
from mmtune.types import Example, Image

FOLDER = Path(__file__).resolve().parent.parent / "datasets_cfg" / "templates"
CHOICES = ("yes", "no", "it cannot be told")
WORDS = "the red square is left of a blue circle while 50% of {these} are not "


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--field-chars", type=int, default=300)
    given = parser.parse_args()
    pool = load_pool(FOLDER)
    rows = list(made_up(pool, given.examples, given.field_chars))
    templates = [t for several in pool.by_task.values() for t in several]
    plans = [p for t in templates for _, _, p in template_module._plans(t, False).parts]
    quick = sum(plan.fields is not None for plan in plans)
    print(f"{len(templates)} templates; {quick} of their {len(plans)} turns need no Jinja")
    found: dict[str, float] = {}
    for variant in VARIANTS:
        found[variant] = a_minute(partial(phrase, pool, rows, variant))
    few = rows[:: max(1, len(rows) // 10_000)]
    found["by Jinja alone"] = by_jinja(partial(phrase, pool, few, "with"))
    for name, rate in found.items():
        print(f"{name:<16}{rate:>12,.0f} a minute")
    print(json.dumps({name: round(rate) for name, rate in found.items()}))


def made_up(pool: TemplatePool, count: int, field_chars: int) -> Iterator[Example]:
    """Examples that have whatever any template of their task speaks of."""
    text = (WORDS * (field_chars // len(WORDS) + 1))[:field_chars]
    tasks = list(pool.by_task)
    for number in range(count):
        task = tasks[number % len(tasks)]
        plans = [template_module._plans(t, False) for t in pool.of(task)]
        names = set().union(*(p.names for p in plans)) - SHOWN - {"reasoned"}
        pictures = set().union(*(p.pictures for p in plans))
        chooses = any(p.choosing for p in plans)
        fields = dict.fromkeys((*names, "rationale"), text)
        yield Example(
            id=f"{task}/{number}",
            source=task,
            task=task,
            fields=fields | {"answer": CHOICES[0]},
            choices=CHOICES if chooses else (),
            images={name: Image(f"{name}.png", name, 64, 64) for name in pictures},
        )


def phrase(pool: TemplatePool, rows: list[Example], variant: Variant) -> int:
    for row in rows:
        pool.choose(row, "random").render(row, variant)
    return len(rows)


def a_minute(work: Callable[[], int]) -> float:
    work()  # what is compiled once is compiled now
    started = time.perf_counter()
    done = work()
    return 60 * done / (time.perf_counter() - started)


def by_jinja(work: Callable[[], int]) -> float:
    plain = Plan.text
    Plan.text = Plan.by_jinja  # type: ignore[method-assign]
    try:
        return a_minute(work)
    finally:
        Plan.text = plain  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
