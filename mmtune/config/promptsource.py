"""Template files of the P3 kind (Bach et al. 2022) as typed data. Knows their YAML, no Jinja.

Only their own two tags are read, as plain mappings; keys that we do not use are passed over.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, ValidationError

from mmtune.config.section import Section
from mmtune.config.tree import shown
from mmtune.errors import ConfigError


class _Foreign(Section):
    """Written for another program, which has keys of its own."""

    model_config = ConfigDict(extra="ignore")


class PromptMetadata(_Foreign):
    original_task: bool | None = None
    """False for a prompt that turns the task around; None where nobody said."""
    choices_in_prompt: bool | None = None
    metrics: list[str] | None = None
    languages: list[str] | None = None


class PromptEntry(_Foreign):
    """One prompt: `jinja` holds ask and answer with `|||` between."""

    name: str
    jinja: str
    answer_choices: str | None = None
    reference: str | None = None
    metadata: PromptMetadata = PromptMetadata()


class PromptFile(_Foreign):
    dataset: str
    subset: str | None = None
    templates: dict[str, PromptEntry]

    @property
    def task(self) -> str:
        return f"{self.dataset}/{self.subset}" if self.subset else self.dataset


class _Loader(yaml.SafeLoader):
    """Plain values, and the two tags of the format."""


def _mapping(loader: yaml.SafeLoader, node: yaml.Node) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(
            None, None, f"{node.tag} is to be followed by keys", node.start_mark
        )
    return loader.construct_mapping(node, deep=True)


for _tag in ("!Template", "!TemplateMetadata"):
    _Loader.add_constructor(_tag, _mapping)


def load_prompt_file(path: Path) -> PromptFile:
    """Raises ConfigError with every fault at once: `templates.yaml: templates.<id>.jinja: ...`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; expected UTF-8 YAML") from None
    loader = None
    try:
        loader = _Loader(text)
        found = loader.get_single_data()
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(_yaml_fault(path, error)) from None
    finally:
        if loader is not None:
            loader.dispose()
    try:
        return PromptFile.model_validate(found)
    except ValidationError as error:
        raise ConfigError(*(_fault(path, fault) for fault in error.errors())) from None


def _yaml_fault(path: Path, error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{path}{line}: not a promptsource file: {problem}"


def _fault(path: Path, error: Any) -> str:
    key = ".".join(map(str, error["loc"]))
    where = f"{path}: {key}: " if key else f"{path}: "
    if error["type"] == "missing":
        return f"{where}missing; the promptsource format needs it"
    return f"{where}found {shown(error['input'])}: {error['msg']}"
