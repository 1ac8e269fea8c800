"""Chat templates that cannot be trained on, reach out of their box, or explode."""

from pathlib import Path

from bad_inputs.case import Case, with_model, with_template

START = "model.path 'broken': chat template: "
REFUSED = START + "a user's and an assistant's turn cannot be laid out by it ({}); correct the "
REFUSED += "template or set model.chat_format to lima"


def refused(name: str, template: str, why: str) -> Case:
    return Case(name, REFUSED.format(f"template_refuses: {why}"), with_template(template))


def two_templates(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tools.jinja").write_text("x")


MANY = "more than … characters come out"
STEPS = "it takes too many steps; a template is to lay out, not to compute"
NUMBER = "a number over 1,000,000 is given to a function"
GROWING = "{% set n = namespace(s='aaaaaaaaaa') %}{% for i in range(60) %}{% set n.s = BODY %}"
GROWING += "{% endfor %}{{ n.s }}"

CHATS = [
    refused("`'a' * 300000000`", "{{ 'a' * 300000000 }}", MANY),
    refused("`'%1000000000d' % 1`", "{{ '%1000000000d' % 1 }}", MANY),
    refused("`'{:>1000000000}'.format(1)`", "{{ '{:>1000000000}'.format(1) }}", MANY),
    refused("`'{:{}}'.format(1, 10**9)`", "{{ '{:{}}'.format(1, 1000000) }}",
            "a width from a value is not to be had in a template"),
    refused("`'a'.ljust(1000000000)`", "{{ 'a'.ljust(1000000000) }}", NUMBER),
    refused("text put in the place of each of its letters", "{% set s = 'a' * 10000 %}"
            "{{ s.replace('a', s) }}", MANY),
    refused("text doubled 60 times", GROWING.replace("BODY", "n.s + n.s"), MANY),
    refused("the same with `~`", GROWING.replace("BODY", "n.s ~ n.s"), MANY),
    refused("lists within lists, 60 deep", GROWING.replace("BODY", "[n.s, n.s]"), STEPS),
    refused("the same, two of them compared", "{% set n = namespace(s=['a'], t=['a']) %}"
            "{% for i in range(24) %}{% set n.s = [n.s, n.s] %}{% set n.t = [n.t, n.t] %}"
            "{% endfor %}{{ n.s == n.t }}", STEPS),
    refused("`[0] * 1000000000`", "{{ [0] * 1000000000 }}", MANY),
    refused("`10 ** 100000000`", "{{ 10 ** 100000000 }}", "** takes numbers up to 10,000"),
    refused("`range(10**9)`", "{% for i in range(1000000000) %}{% endfor %}", NUMBER),
    refused("loops within loops", "{% for i in range(99999) %}{% for j in range(99999) %}"
            "{% endfor %}{% endfor %}", STEPS),
    refused("a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "it calls itself without end"),
    refused("a macro that calls itself twice", "{% macro f(n) %}{% if n %}{{ f(n - 1) }}"
            "{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}", STEPS),
    refused("`messages.__class__`", "{{ messages.__class__.__mro__ }}", "access to attribute "
            "'__class__' of 'list' object is unsafe."),
    refused("`{% include '/etc/passwd' %}`", "{% include '/etc/passwd' %}", "no loader for this "
            "environment specified"),
    refused("`1 / 0`", "{{ 1 / 0 }}", "division by zero"),
    Case("no Jinja", START + "it is no Jinja (line 2): unexpected end of template, expected 'end "
         "of print statement'.", with_template("{% for m in messages %}\n{{ m.content ")),
    Case("turns left out", REFUSED.format("template_loses_turn: it writes turn 1 0 times"),
         with_template("{% for m in messages %}{% if m.role == 'assistant' %}"
                       "{{ m.content + eos_token }}{% endif %}{% endfor %}")),
    Case("answers that nothing closes", START + "the answer is never closed by a token that can "
         "stop generation (an answer is followed by '', which holds no token that can stop "
         "generation); add the end-of-turn token to the template's assistant turn",
         with_template("{% for m in messages %}{{ m.content }}{% endfor %}")),
    Case("text that is rewritten", START + "it does more to a text than trim it, ' What is 2 + "
         "2?\\n' becomes ' WHAT IS 2 + 2?\\n<|im_end|>'; mend the template or set "
         "model.chat_format to lima",
         with_template("{% for m in messages %}{{ m.content | upper + eos_token }}{% endfor %}")),
    Case("several templates, none the default", "model.path 'broken': tokenizer: it has several "
         "chat templates (tools) and none is called default; name one so, or set "
         "model.chat_format to lima", with_model(two_templates, "chat")),
]  # fmt: skip
