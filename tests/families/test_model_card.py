import yaml

from mmtune.families.model_card import CardFacts, CardSource, model_card

FACTS = CardFacts(
    name="lima-pocket",
    base_model="pocket:lm",
    base_revision="a1b2",
    sources=(
        CardSource(name="lima", rows=1000, used=990, sha256="ab" * 32),
        CardSource(name="chat", rows=30, used=30, sha256="cd" * 32),
    ),
    recipe_sha256="ef" * 32,
    settings={"train.learning_rate": 1e-5, "model.adapter.kind": "lora"},
    metrics={"dev_loss": 1.23456789},
    version="0.1",
)


def front_matter(card):
    _, front, _ = card.split("---\n", 2)
    return yaml.safe_load(front)


def test_every_fact_is_on_the_card():
    card = model_card(FACTS)
    expected = ("lima-pocket", "pocket:lm", "a1b2", "ab" * 32, "cd" * 32, "ef" * 32, "1,020")
    expected += ("| lima | 1000 | 990 |", "| train.learning_rate | 1e-05 |", "1.23457", "Licence")
    for text in expected:
        assert text in card


def test_the_front_matter_is_what_hubs_read():
    assert front_matter(model_card(FACTS)) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["mmtune", "instruction-tuning"],
    }
    linked = CardFacts(name="x", base_model="own/er: 'model'\n---", hub_id=True)
    assert front_matter(model_card(linked))["base_model"] == linked.base_model


def test_names_from_a_recipe_cannot_forge_markup():
    source = CardSource(name="a|b\n# Licence: MIT\n<img>", rows=1, used=1, sha256="00")
    card = model_card(CardFacts(name="t\n---\n# x", base_model="b`\n# y", sources=(source,)))
    assert [line for line in card.splitlines() if line.startswith("# ")] == [r"# t --- \# x"]
    assert r"| a\|b \# Licence: MIT \<img\> | 1 | 1 | 00 |" in card


def test_the_code_on_the_card_runs_as_python_and_fits_the_tokenizer():
    for chat in (True, False):
        card = model_card(CardFacts(name="x", base_model="y", chat=chat))
        code = card.split("```python\n")[1].split("```")[0]
        compile(code, "card", "exec")
        assert ("apply_chat_template" in code) == chat


def test_the_same_facts_give_the_same_card_and_no_facts_say_so():
    assert model_card(FACTS) == model_card(FACTS)
    assert model_card(CardFacts(name="x", base_model="y")).count("None recorded.") == 3
