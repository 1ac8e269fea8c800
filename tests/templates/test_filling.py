"""Filling: the quick way and Jinja's way come to the same text; pictures go into their slots."""

from random import Random

import pytest

from mmtune.sandbox import TemplateFault
from mmtune.templates.filling import new_sandbox, plan, without_options
from mmtune.types import Image, Text

SANDBOX = new_sandbox()
LITERALS = ["", " ", "\n", "\r\n", "\r", "\n\n", "%", "%s", "%%", "%(a)s", "{", "}", "}}", "{ {"]
LITERALS += ["{a}", "é\u2028", "<b>&", "word", "\\n", "#}", "%}", "'", '"', "\t", "\ue000", "$a"]
VALUES = [
    "",
    "x",
    "{{ b }}",
    "{% if %}",
    "%s %d",
    "a\r\nb",
    "{{ image:p }}",
    "<&>",
    "\ue0001:0\ue001",
]
SLOTS = ["{{ a }}", "{{a}}", "{{  b\n}}", "{{ long_name_1 }}", "{{ _c }}", "{{ A }}"]
RARE = [
    "{{ a|upper }}",
    "{{ true }}",
    "{# no #}",
    "{% if a %}y{% endif %}",
    "{{- b -}}",
    "{{ range }}",
]


def random_source(rng: Random, slots: list[str]) -> str:
    return "".join(rng.choice(rng.choice([LITERALS, slots])) for _ in range(rng.randint(0, 9)))


def outcome(fill, values) -> str:
    try:
        return fill(values)
    except TemplateFault as fault:
        return f"fault: {fault}"


@pytest.mark.parametrize("block", range(8))
def test_the_quick_way_and_jinja_give_the_same_text(block: int) -> None:
    quick = 0
    for number in range(80):
        rng = Random(f"{block}.{number}")
        source = random_source(rng, SLOTS if number % 4 else SLOTS + RARE)
        try:
            made = plan(source, SANDBOX)
        except TemplateFault:
            continue  # "{{}}" and the like: no Jinja either way
        quick += made.fields is not None
        for _ in range(2):
            names = ["a", "b", "long_name_1", "_c", "A"][: rng.choice([5, 5, 5, 2])]
            values = {name: rng.choice(VALUES) for name in names}
            assert outcome(made.text, values) == outcome(made.by_jinja, values), source
    assert quick > 30


@pytest.mark.parametrize(
    ("source", "is_quick"),
    [
        ("no slot", True),
        ("{{ a }} and {{b}}", True),
        ("{{{ a }}", None),
        ("{{ a | upper }}", False),
        ("{{ none }}", False),
        ("{{ self }}", False),
        ("{# a #}{{ a }}", False),
        ("{{ choices }}", False),
        ("{{- a }}", False),
    ],
)
def test_only_plain_fields_take_the_quick_way(source: str, is_quick: bool | None) -> None:
    try:
        assert (plan(source, SANDBOX).fields is not None) == is_quick
    except TemplateFault:
        assert is_quick is None


def test_a_text_past_the_limit_is_left_to_jinja_which_refuses_it() -> None:
    with pytest.raises(TemplateFault, match="characters come out"):
        plan("{{ a }}" * 9, SANDBOX).text({"a": "x" * 1_000_000})


def test_other_than_text_prints_the_same_both_ways() -> None:
    made = plan("{{ a }}/{{ b }}", SANDBOX)
    for value in (None, True, 0, 1.5, [1, "x"], {"k": "v"}):
        values = {"a": value, "b": value}
        assert made.text(values) == made.by_jinja(values)


def test_names_that_are_asked_about_first_are_optional() -> None:
    made = plan("{{ a }}{% if b is defined %}{{ b }}{% endif %}{{ c | default('') }}", SANDBOX)
    assert (made.needed, made.optional) == ({"a"}, {"b", "c"})


def test_a_random_draw_of_jinjas_own_is_refused() -> None:
    with pytest.raises(TemplateFault, match="random"):
        plan("{{ a | random }}", SANDBOX)


PICTURE = Image("p.png", "0" * 64, 4, 4)
OTHER = Image("o.png", "1" * 64, 4, 4)


def test_pictures_stand_where_their_slots_are() -> None:
    made = plan("{{ image:one }}{{image:two}} x {{ a }}{{ image: one }}", SANDBOX)
    parts = made.fill({"a": "A"}, {"one": PICTURE, "two": OTHER})
    assert parts == (PICTURE, OTHER, Text(" x A"), PICTURE)


def test_pictures_pass_through_conditions_and_filters() -> None:
    source = "{% filter upper %}see {% if a %}{{ image:one }}{% endif %}!{% endfilter %}"
    assert plan(source, SANDBOX).fill({"a": "1"}, {"one": PICTURE}) == (
        Text("SEE "),
        PICTURE,
        Text("!"),
    )


@pytest.mark.parametrize("data", ["{{ image:one }}", "{{ b }}", "\ue000:0\ue001", "{{ image:no }}"])
@pytest.mark.parametrize("source", ["{{ image:one }}{{ a }}", "{{ image:one }}{{ a | trim }}"])
def test_a_slot_inside_data_stays_text(data: str, source: str) -> None:
    assert plan(source, SANDBOX).fill({"a": data}, {"one": PICTURE}) == (PICTURE, Text(data))


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("Q?\n\n{{ options }}", "Q?"),
        ("Q?\n{{options}}\n", "Q?"),
        ("{{ options }}\n\nQ?", "Q?"),
        ("Q?\n\n{{ options }}\n\nSay.", "Q?\n\nSay."),
        ("Q?\n{{ options }}\n\nSay.", "Q?\n\nSay."),
        ("Q?\n{{ options }}\nSay.", "Q?\nSay."),
        ("a\n\n\nb {{ x }}", "a\n\n\nb {{ x }}"),
    ],
)
def test_options_left_out_take_their_blank_lines_along(source: str, left: str) -> None:
    assert without_options(source) == left
