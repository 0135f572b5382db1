import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from melnb.display.threshold.panels import CHOICE_FILE, choice_before, write_choice
from melnb.display.threshold.threshold_explorer import ThresholdExplorer
from melnb.evaluation.decisions import operating_point
from melnb.evaluation.decisions.locked_threshold import read_threshold
from melnb.tables.checks import TableError


def test_the_chosen_point_is_written_with_what_it_does(
    predictions: pd.DataFrame, tmp_path: Path
) -> None:
    explorer = ThresholdExplorer(predictions, prevalence=0.02, save_to=tmp_path / "a" / "b.json")
    explorer.threshold = 0.3
    path = explorer.save()
    assert path == tmp_path / "a" / "b.json"
    written = json.loads(path.read_text())
    point = operating_point.operating_point(
        predictions, positive="melanoma", choose=written["choose"], at=written["at"]
    ).iloc[0]
    assert written == {
        "melnb": "operating point", "threshold": 0.3, "positive": "melanoma", "prevalence": 0.02,
        "choose": "threshold", "at": 0.3, "run": "b0", "rows": "out of fold", "n": 600,
        "positives": point["positives"], "sensitivity": point["sensitivity"],
        "specificity": point["specificity"],
    }  # fmt: skip
    assert written == read_threshold(path)
    assert explorer.save(tmp_path) == tmp_path / CHOICE_FILE, "a folder gets the usual name"
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_button_writes_what_the_page_shows(predictions: pd.DataFrame, tmp_path: Path) -> None:
    explorer = ThresholdExplorer(predictions, save_to=tmp_path / CHOICE_FILE)
    view = explorer.view()
    # As one message of the page: the click may be heard before the move.
    view.set_state({"asked": 1, "threshold": 0.25, "prevalence": 0.1})
    written = json.loads((tmp_path / CHOICE_FILE).read_text())
    assert (written["threshold"], written["prevalence"]) == (0.25, 0.1)
    assert view.saved == f"Written to {tmp_path / CHOICE_FILE}"


def test_a_page_says_yes_or_no_and_has_no_say_in_where(
    predictions: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    explorer = ThresholdExplorer(predictions, save_to=tmp_path / "run" / CHOICE_FILE)
    view = explorer.view()
    elsewhere = str(tmp_path / "elsewhere.json")
    view.set_state({"asked": 1, "save_to": elsewhere, "saved": elsewhere, "question": elsewhere})
    view.set_state({"asked": 2, "writes": False, "words": {"choice": {"run": "../../x"}}})
    assert [p.relative_to(tmp_path) for p in tmp_path.rglob("*.json")] == [
        Path("run") / CHOICE_FILE
    ]
    assert json.loads((tmp_path / "run" / CHOICE_FILE).read_text())["run"] == "b0"


def test_without_a_place_no_page_writes(
    predictions: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    view = ThresholdExplorer(predictions).view()
    view.set_state({"asked": 1, "replace": True, "writes": True, "save_to": "x.json"})
    assert list(tmp_path.iterdir()) == []


def test_what_another_wrote_is_replaced_after_a_yes_alone(
    predictions: pd.DataFrame, tmp_path: Path
) -> None:
    path = write_choice(
        ThresholdExplorer(predictions, threshold=0.7).choice(), tmp_path / CHOICE_FILE
    )
    explorer = ThresholdExplorer(predictions, threshold=0.3, save_to=path)
    recorded: list[Any] = []
    explorer.recorder, view = recorded.append, explorer.view()
    view.set_state({"asked": 1})
    asked = f"{CHOICE_FILE} holds the threshold 0.7 of b0. Replace it by the threshold 0.3 of b0?"
    assert (view.question, view.saved, recorded) == (asked, "", [])
    assert read_threshold(path)["threshold"] == 0.7
    write_choice(ThresholdExplorer(predictions, threshold=0.6).choice(), path)
    view.set_state({"asked": 2, "replace": True})
    assert "holds the threshold 0.6 of b0" in view.question, "the yes was to something else"
    view.set_state({"asked": 3, "replace": True})
    assert (view.question, view.saved) == ("", f"Written to {path}")
    assert read_threshold(path) == explorer.choice()
    assert recorded == [explorer.results()]
    view.set_state({"asked": 4, "replace": False, "threshold": 0.2})
    assert read_threshold(path)["threshold"] == 0.2, "its own it may replace"
    path.write_text("by hand")
    view.set_state({"asked": 5})
    assert view.question.startswith(f"{CHOICE_FILE} holds something else. Replace it")
    assert path.read_text() == "by hand"


def test_a_place_that_cannot_be_written_is_told(predictions: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    explorer = ThresholdExplorer(predictions, save_to=tmp_path / "file" / "below.json")
    view = explorer.view()
    view.asked = 1
    assert view.saved.startswith("Not written: ")


def test_a_choice_for_another_run_does_not_count(predictions: pd.DataFrame, tmp_path: Path) -> None:
    choice = ThresholdExplorer(predictions, threshold=0.4).choice()
    write_choice(choice, tmp_path / CHOICE_FILE)
    assert choice_before(tmp_path, run="b0", positive="melanoma")["threshold"] == 0.4
    assert choice_before(tmp_path, run="b1", positive="melanoma") == {}
    assert choice_before(tmp_path, run="b0", positive="nevus") == {}
    assert choice_before(tmp_path / "none", run="b0", positive="melanoma") == {}


def test_what_is_not_a_threshold_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="threshold is nan, not a number from 0 to 1"):
        write_choice({"threshold": float("nan")}, tmp_path / CHOICE_FILE)
    assert list(tmp_path.iterdir()) == []
