"""`mmtune report` on small results: a page with every number, and a picture."""

import json
from pathlib import Path

import pytest

from mmtune.cli import main

CLUSTERS = {"capital": "pocket_knowledge", "follows_color": "pocket_inference"}


def study() -> dict:
    def asked(right: list[int]) -> dict:
        return {
            name: {
                "cluster": cluster,
                "held_out": True,
                "chance": 0.25,
                "subjects": [str(number) for number in range(len(right))],
                "right": {f"{name}/question": right, f"{name}/exam": right},
            }
            for name, cluster in CLUSTERS.items()
        }

    arms = [{"name": "base", "seed": 0, "clusters": [], "tasks": asked([0, 0, 0, 1])}]
    for seed in (0, 1, 2):
        for name, count in (("no_templates", 2), ("templates_1", 1), ("templates_2", 2)):
            right = {
                "no_templates": [0, 1, seed % 2, 0],
                "templates_1": [1, 1, 0, 0],
                "templates_2": [1, 1, 1, 0],
            }[name]
            arms.append(
                {
                    "name": name,
                    "seed": seed,
                    "clusters": ["pocket_scenes", "pocket_ordering"][:count],
                    "tasks": asked(right),
                }
            )
    settings = {"held_out": [*CLUSTERS.values()], "templates_asked": 2, "examples": 10}
    return {"kind": "flan_study", "settings": settings, "arms": arms}


def zero_shot() -> dict:
    mean = {"mean": 0.61, "low": 0.5, "high": 0.7}
    return {
        "settings": {
            **{"model": {"path": "some/<model>"}, "split": "test", "options": "with"},
            "score": "sum",
        },
        "tasks": {"rte": {"headline": "sum", "over_templates": {"sum": mean}, "chance": 0.5}},
        "clusters": {"nli": {"headline": mean, "chance": 0.5, "tasks": ["rte"]}},
    }


def report(folder: Path, name: str, content: dict) -> int:
    (folder / name).write_text(json.dumps(content))
    return main(["report", str(folder)])


def test_a_study_becomes_a_page_that_stands_alone_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(tmp_path, "study.json", study()) == 0
    page = (tmp_path / "study.html").read_text()
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png;base64," in page and "http" not in page
    told = capsys.readouterr().out
    for text in ("75.0", "templates, 2 clusters", "no templates, all clusters"):
        assert text in page and text in told
    assert "templates, 2 clusters less untuned: +50.0" in page


def test_a_difference_is_called_above_zero_only_where_its_interval_is(tmp_path: Path) -> None:
    assert report(tmp_path, "study.json", study()) == 0
    page = (tmp_path / "study.html").read_text()
    (line,) = [
        line
        for line in page.splitlines()
        if line.startswith("<p>templates, 1 cluster less no templates")
    ]
    assert "cannot be told from zero" in line and ": +" in line


def test_a_zero_shot_report_becomes_a_page(tmp_path: Path) -> None:
    assert report(tmp_path, "zero_shot.json", zero_shot()) == 0
    page = (tmp_path / "zero_shot.html").read_text()
    assert "61.0" in page and "50.0 to 70.0" in page
    assert "some/&lt;model&gt;" in page


@pytest.mark.parametrize("content", [{}, {"kind": "flan_study", "settings": {}, "arms": []}, []])
def test_what_is_no_result_is_told_in_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: dict
) -> None:
    assert report(tmp_path, "study.json", content) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and "study.json" in told and "Traceback" not in told


def test_a_folder_without_results_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "nothing to report on" in capsys.readouterr().err
