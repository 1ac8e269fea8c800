"""Cards as typed data: what a file may say, and how all its faults are told at once."""

from pathlib import Path

import pytest

from mmtune.config.cards import FLAN_CLUSTERS, Card, load_card, load_cards
from mmtune.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CARDS = ROOT / "datasets_cfg" / "cards"

RTE = """\
name: rte
cluster: nli
hub: {path: nyu-mll/glue, config: rte}
splits: {train: train, test: validation}
fields:
  premise: "{{ sentence1 }}"
  hypothesis: "{{ sentence2 }}"
choices: ["yes", "no"]
label: "{{ label }}"
"""


def write(folder: Path, text: str, name: str = "rte") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def faults_of(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_card(path, overrides)
    return list(caught.value.faults)


def test_a_card_reads_with_its_defaults(tmp_path: Path) -> None:
    card = load_card(write(tmp_path, RTE))
    assert (card.name, card.cluster, card.choices) == ("rte", "nli", ["yes", "no"])
    assert (card.hub.config, card.splits.dev, card.metric) == ("rte", "", "accuracy")
    assert list(card.fields) == ["premise", "hypothesis"]


def test_overrides_reach_every_key_and_words_such_as_no_stay_text(tmp_path: Path) -> None:
    path = write(tmp_path, RTE)
    card = load_card(path, ["path=rows.jsonl", "choices=[yes, no, 3]", "splits.dev=train[:9]"])
    assert (card.path, card.choices, card.splits.dev) == (
        "rows.jsonl",
        ["yes", "no", "3"],
        "train[:9]",
    )
    assert load_card(path, ['choices="{{ endings }}"']).choices == "{{ endings }}"


def test_all_faults_of_a_file_are_told_with_line_key_and_nearest_name(tmp_path: Path) -> None:
    text = RTE.replace("nli", "nlii").replace("config", "confg").replace("label:", "labl:")
    found = faults_of(write(tmp_path, text))
    assert any("rte.yaml:2: cluster: found 'nlii' (did you mean 'nli'?)" in f for f in found)
    assert any("rte.yaml:3: hub.confg: no such key; did you mean hub.config?" in f for f in found)
    assert any("rte.yaml:9: labl: no such key; did you mean label?" in f for f in found)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("name=Rte", "expected lower-case letters"),
        ("fields.options=x", "fields.options: the name is taken"),
        ("fields.Premise=x", "fields.Premise: expected a name"),
        ("optional=[premis]", "optional: 'premis' is no field"),
        ("subcluster=math", "subcluster: cards of cluster misc"),
        ("cluster=misc", "subcluster: cards of cluster misc"),
        ("choices=[yes]", "one alone is no choice"),
        ("choices=[yes, yes]", "two of them are the same"),
        ("choices=[]", "label: is of no use without choices"),
        ("answer=x", "answer: leave it out"),
        ('label=""', "label: missing"),
        ("hub.path=glue", "hub.path: found 'glue', expected owner/name"),
        ('hub.path=""', "note: a card without hub and path says here"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, override: str, told: str) -> None:
    assert any(told in fault for fault in faults_of(write(tmp_path, RTE), override))


def test_a_card_without_splits_is_refused(tmp_path: Path) -> None:
    found = faults_of(write(tmp_path, RTE), 'splits.train=""', 'splits.test=""')
    assert any("splits: name at least one" in fault for fault in found)


def test_a_card_is_named_after_its_file(tmp_path: Path) -> None:
    found = faults_of(write(tmp_path, RTE, "other"))
    assert "expected 'other', the file's own name" in found[0]


def test_a_folders_faults_come_together_and_overrides_go_to_their_card(tmp_path: Path) -> None:
    write(tmp_path, RTE)
    write(tmp_path, RTE.replace("name: rte", "name: wnli"), "wnli")
    cards = load_cards(tmp_path, ["rte.path=a.jsonl"])
    assert (cards["rte"].path, cards["wnli"].path) == ("a.jsonl", "")
    write(tmp_path, "name: x\ncluster: nope\n", "x")
    with pytest.raises(ConfigError) as caught:
        load_cards(tmp_path, ["rte.pth=a", "rtee.path=a"])
    told = "\n".join(caught.value.faults)
    assert "x.yaml:2: cluster" in told and "'rtee.path=a'" in told and "pth: no such key" in told


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no card"):
        load_cards(tmp_path)


# ------------------------------------------------------------------- the cards that are shipped


@pytest.fixture(scope="module")
def cards() -> dict[str, Card]:
    return load_cards(CARDS)


def members(cards: dict[str, Card], collection: str) -> set[str]:
    return {name for name, card in cards.items() if collection in card.collections}


def test_flans_clusters_have_the_papers_numbers_of_data_sets(cards: dict[str, Card]) -> None:
    """Wei et al. 2021, figure 3; the two opinion abstracts, one group of siblings, count as two."""
    papers = dict(zip(FLAN_CLUSTERS, (7, 4, 4, 4, 3, 4, 8, 5, 2, 3, 7, 11), strict=True))
    assert sum(papers.values()) == 62
    for cluster, count in papers.items():
        ours = [cards[name] for name in members(cards, "flan") if cards[name].cluster == cluster]
        groups = {card.siblings or card.name for card in ours}
        assert len(groups) + ("opinion_abstracts" in groups) == count, cluster


def test_the_69_tasks_of_flans_code_are_there(cards: dict[str, Card]) -> None:
    assert len(members(cards, "flan") - {"wsc273"}) == 69


def test_the_other_collections_are_whole(cards: dict[str, Card]) -> None:
    assert {n: len(members(cards, n)) for n in ("cot", "t0_train", "t0_held_out")} == {
        "cot": 9,
        "t0_train": 38,
        "t0_held_out": 11,
    }
    assert len(members(cards, "t0_train") | members(cards, "t0p_train")) == 48
    assert members(cards, "t0p_train") < members(cards, "t0pp_train")
    assert len(members(cards, "t0pp_train")) == 16


def test_t0s_training_and_held_out_sets_share_nothing(cards: dict[str, Card]) -> None:
    assert not members(cards, "t0_train") & members(cards, "t0_held_out")


def test_siblings_are_in_one_cluster_unless_they_ask_something_else(
    cards: dict[str, Card],
) -> None:
    """Within FLAN's collection; elsewhere a sibling may be the same rows asked otherwise."""
    clusters: dict[str, set[str]] = {}
    for name in members(cards, "flan"):
        if cards[name].siblings:
            clusters.setdefault(cards[name].siblings, set()).add(cards[name].cluster)
    assert all(len(found) == 1 for found in clusters.values())


def test_every_card_says_where_its_rows_are_and_under_which_licence(
    cards: dict[str, Card],
) -> None:
    for card in cards.values():
        assert card.hub.path or card.note, card.name
        assert card.licence, card.name
        assert card.collections, card.name
        assert not card.path, card.name
