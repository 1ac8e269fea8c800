import os
import re
import subprocess
import sys
import time
from itertools import islice

from mmtune.pocket import instructions
from mmtune.pocket.corpus import document, documents
from mmtune.pocket.gazetteer import COUNTRIES, TOWNS

_DOCUMENTS = list(islice(documents(seed=3), 3000))


def test_document_i_needs_none_of_the_documents_before_it() -> None:
    assert [document(3, 17), document(3, 18)] == _DOCUMENTS[17:19]
    assert next(documents(seed=3, start=18)) == _DOCUMENTS[18]


def test_another_seed_gives_other_documents() -> None:
    assert len(set(_DOCUMENTS) & set(islice(documents(seed=4), 3000))) < 10


def test_another_process_with_another_hash_seed_writes_the_same_bytes() -> None:
    code = "from mmtune.pocket.corpus import document;print([document(3, i) for i in range(60)])"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == str(_DOCUMENTS[:60])


def test_no_instruction_stands_in_the_corpus() -> None:
    asked = [i.prompt for i in instructions.clean_set()] + [
        i.prompt for i in instructions.test_set()
    ]
    corpus = "\n".join(_DOCUMENTS)
    first_lines = {line for prompt in asked for line in prompt.split("\n") if "?" in line}
    assert len(first_lines) > 300
    assert not [line for line in first_lines if line in corpus]
    assert not [prompt for prompt in asked if prompt in corpus]


def test_no_document_begins_with_a_question_or_has_speakers_in_turn() -> None:
    for text in _DOCUMENTS:
        assert not text.split("\n")[0].endswith("?")
        assert not re.search(r"^(user|assistant|question|answer|q|a)\s*:", text, re.I | re.M)


def test_words_that_prompts_use_occur_in_the_corpus() -> None:
    known = set(re.findall(r"[A-Za-z]+", "\n".join(_DOCUMENTS)))
    used = {word for i in instructions.test_set() for word in re.findall(r"[A-Za-z]+", i.prompt)}
    assert not used - known


def test_all_facts_that_are_asked_for_are_stated() -> None:
    corpus = "\n".join(_DOCUMENTS)
    for country in COUNTRIES.values():
        assert f"The capital of {country.name} is {country.capital}." in corpus
    for town in TOWNS.values():
        assert f"{town.name} is known for its {town.product}." in corpus
        assert f"The river that flows through {town.name} is the {town.river}." in corpus


def test_every_stated_sum_is_true() -> None:
    found = re.findall(r"(\d+) (plus|minus) (\d+) is (\d+)\.", "\n".join(_DOCUMENTS))
    assert len(found) > 300
    for a, way, b, result in found:
        assert int(a) + (int(b) if way == "plus" else -int(b)) == int(result)


def test_documents_are_short_and_come_fast() -> None:
    start = time.perf_counter()
    texts = list(islice(documents(seed=9), 1000))
    assert 1000 / (time.perf_counter() - start) > 2000
    assert 30 < sum(len(text.split()) for text in texts) / 1000 < 80
