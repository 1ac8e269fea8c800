"""Which phrasing an Example gets: its own turns, a given Template, or the default one."""

from collections.abc import Sequence

from mmtune.errors import FormatError
from mmtune.templates.template import Template
from mmtune.types import Conversation, Example

DEFAULT = Template(
    name="instruction/plain",
    task="instruction",
    ask="{{ instruction }}"
    "{% if input is defined and input.strip() %}"
    "{% if instruction.strip() %}\n\n{% endif %}{{ input }}{% endif %}",
    answer="{{ output }}",
    system="{{ system | default('') }}",
)
"""The instruction, a blank line, the input: no headings, as in LIMA's own rows."""


def as_conversation(example: Example, templates: Sequence[Template] = ()) -> Conversation:
    """What would be said to a model for this example.

    Dialogues and documents pass as they are, but for a last user turn that nobody answers, which
    is left off. Others take the first template of their task; `instruction` needs none.
    Raises FormatError where no template fits.
    """
    if example.turns:
        turns = example.turns[:-1] if example.turns[-1].role == "user" else example.turns
        return Conversation(example.id, turns, example.source)
    for template in (*templates, DEFAULT):
        if template.task == example.task:
            return template.render(example)
    tasks = ", ".join(sorted({template.task for template in templates})) or "none"
    raise FormatError(
        f"example {example.id!r} ({example.where}) is of task {example.task!r}, for which there "
        f"is no template (there are: {tasks}). Add one."
    )
