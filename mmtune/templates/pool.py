"""The library of templates by task, and which of them an example gets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mmtune.config.templates import TemplateEntry, load_template_file
from mmtune.errors import ConfigError, FormatError, InputError
from mmtune.templates.draws import keyed_index
from mmtune.templates.template import Template
from mmtune.types import Example

RULES = ("random", "round_robin")


@dataclass(frozen=True, slots=True)
class TemplatePool:
    """Templates by task, in the order of their files."""

    by_task: Mapping[str, tuple[Template, ...]]

    def of(self, task: str) -> tuple[Template, ...]:
        """Raises FormatError where the task has none."""
        if found := self.by_task.get(task):
            return found
        near = get_close_matches(task, self.by_task, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise FormatError(
            f"task {task!r} has no templates; there are templates for "
            f"{len(self.by_task)} tasks: {_first(self.by_task)}.{hint}"
        )

    def choose(
        self, example: Example, rule: str, *, seed: int = 0, epoch: int = 0, position: int = -1
    ) -> Template:
        """The template of an example: `random`, `round_robin`, or the one of that name.

        random: keyed by (seed, epoch, example id), so that order, ranks and workers change
        nothing. round_robin: the example's place in its source, modulo the number of templates
        (FLAN's released code, in groups of ten); `position` is that place, counted from 0.
        """
        templates = self.of(example.task)
        if rule == "random":
            return templates[keyed_index(len(templates), seed, epoch, "template", example.id)]
        if rule == "round_robin":
            if position < 0:
                raise ValueError("round_robin needs the example's position in its source")
            return templates[position % len(templates)]
        return named(templates, rule)


def named(templates: Sequence[Template], name: str) -> Template:
    """By its full name (`rte/follows`) or the part after the slash. Raises FormatError."""
    for template in templates:
        if name in (template.name, template.name.partition("/")[2]):
            return template
    there = [template.name for template in templates]
    near = get_close_matches(name, [n.partition("/")[2] for n in there] + there, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise FormatError(f"no template {name!r}; there are: {', '.join(there)}.{hint}")


def load_templates(path: Path) -> tuple[Template, ...]:
    """The templates of one file; their names are `task/name`.

    Raises ConfigError with every fault of the file, those of its Jinja too.
    """
    read = load_template_file(path)
    faults: list[str] = []
    templates = []
    for entry in read.templates:
        try:
            templates.append(_template(read.task, entry))
        except FormatError as error:
            faults += [f"{path}: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(*faults)
    return tuple(templates)


def load_pool(folder: Path, tasks: Iterable[str] = ()) -> TemplatePool:
    """Every `<task>.yaml` of a folder, or of these tasks only. Raises ConfigError, faults of all
    files at once."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of templates")
    wanted = [folder / f"{task}.yaml" for task in tasks] or sorted(folder.glob("*.yaml"))
    by_task: dict[str, tuple[Template, ...]] = {}
    faults: list[str] = []
    for path in wanted:
        try:
            templates = load_templates(path)
        except InputError as error:
            faults += error.faults
            continue
        if templates[0].task != path.stem:
            found = f"found {templates[0].task!r}, expected {path.stem!r}"
            faults.append(f"{path}: task: {found}; a file is named after its task")
        by_task[path.stem] = templates
    if faults:
        raise ConfigError(*faults)
    return TemplatePool(by_task)


def _template(task: str, entry: TemplateEntry) -> Template:
    return Template(
        name=f"{task}/{entry.name}",
        task=task,
        ask=entry.ask,
        answer=entry.answer,
        system=entry.system,
        choices=" ||| ".join(entry.choices),
        turned_around=entry.turned_around,
    )


def _first(names: Iterable[str], count: int = 12) -> str:
    every = sorted(names)
    return ", ".join(every[:count]) + (", ..." if len(every) > count else "") or "none"
