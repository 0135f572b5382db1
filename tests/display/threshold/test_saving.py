import json
from pathlib import Path

import pandas as pd
import pytest

from melnb.display.threshold.explorer import ThresholdExplorer
from melnb.display.threshold.saving import FILE, choice_before, write_choice
from melnb.evaluation.decisions import points
from melnb.evaluation.decisions.chosen import read_threshold
from melnb.tables import TableError


def test_the_chosen_point_is_written_with_what_it_does(
    predictions: pd.DataFrame, tmp_path: Path
) -> None:
    explorer = ThresholdExplorer(predictions, prevalence=0.02, save_to=tmp_path / "a" / "b.json")
    explorer.threshold = 0.3
    path = explorer.save()
    assert path == tmp_path / "a" / "b.json"
    written = json.loads(path.read_text())
    point = points.operating_point(
        predictions, positive="melanoma", choose=written["choose"], at=written["at"]
    ).iloc[0]
    assert written == {
        "melnb": "operating point", "threshold": 0.3, "positive": "melanoma", "prevalence": 0.02,
        "choose": "threshold", "at": 0.3, "run": "b0", "rows": "out of fold", "n": 600,
        "positives": point["positives"], "sensitivity": point["sensitivity"],
        "specificity": point["specificity"],
    }  # fmt: skip
    assert written == read_threshold(path)
    assert explorer.save(tmp_path) == tmp_path / FILE, "a folder gets the usual name"
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_button_writes_what_the_page_shows(predictions: pd.DataFrame, tmp_path: Path) -> None:
    explorer = ThresholdExplorer(predictions, save_to=tmp_path / FILE)
    view = explorer.view()
    # As one message of the page: the click may be heard before the move.
    view.set_state({"asked": 1, "threshold": 0.25, "prevalence": 0.1})
    written = json.loads((tmp_path / FILE).read_text())
    assert (written["threshold"], written["prevalence"]) == (0.25, 0.1)
    assert view.saved == f"Written to {tmp_path / FILE}"


def test_a_place_that_cannot_be_written_is_told(predictions: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    explorer = ThresholdExplorer(predictions, save_to=tmp_path / "file" / "below.json")
    view = explorer.view()
    view.asked = 1
    assert view.saved.startswith("Not written: ")


def test_a_choice_for_another_run_does_not_count(predictions: pd.DataFrame, tmp_path: Path) -> None:
    choice = ThresholdExplorer(predictions, threshold=0.4).choice()
    path = write_choice(choice, tmp_path / FILE)
    assert choice_before(path, run="b0", positive="melanoma")["threshold"] == 0.4
    assert choice_before(path, run="b1", positive="melanoma") == {}
    assert choice_before(path, run="b0", positive="nevus") == {}
    assert choice_before(tmp_path / "no.json", run="b0", positive="melanoma") == {}


def test_what_is_not_a_threshold_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="threshold is nan, not a number from 0 to 1"):
        write_choice({"threshold": float("nan")}, tmp_path / FILE)
    assert list(tmp_path.iterdir()) == []
