from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from melnb_pages import Reader

from melnb.display.live_curves import PAGE, LiveCurves


def history(*areas: float) -> pd.DataFrame:
    epochs = range(1, len(areas) + 1)
    losses = [1 / epoch for epoch in epochs]
    return pd.DataFrame(
        {"epoch": epochs, "loss": losses, "val_loss": losses[::-1], "val_auc": areas}
    )


def test_each_epoch_replaces_the_drawing() -> None:
    curves = LiveCurves()
    page = curves.view()
    assert "Nothing is fitted yet" in page.value
    curves.show(history(0.5, 0.7, 0.6))
    assert page.value.count("<svg") == 2
    assert page.value.count("<polyline") == 3
    assert "AUC: 0.600 after epoch 3, best 2" in page.value
    curves.show(history(0.5, 0.7, 0.6, 0.8))
    assert "best 4" in page.value


def test_the_mark_follows_the_monitor_and_one_epoch_is_enough() -> None:
    curves = LiveCurves(monitor="val_loss")
    curves.show(history(0.5, 0.7, 0.6))
    assert "best 1" in curves.html()
    curves.show(history(0.5))
    assert "after epoch 1" in curves.html()
    assert "nan" not in curves.html()


def test_a_segmenter_has_a_panel_for_each_of_its_measures() -> None:
    curves = LiveCurves(monitor="val_jaccard")
    told = history(0.5, 0.7, 0.6).rename(columns={"val_auc": "val_jaccard"})
    curves.show(told.assign(val_threshold_jaccard=[0.1, 0.3, 0.4]))
    assert curves.html().count("<svg") == 3
    assert "Jaccard index: 0.600 after epoch 3, best 2" in curves.html()
    assert "Threshold Jaccard index: 0.400 after epoch 3, best 2" in curves.html()
    assert "AUC" not in curves.html()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of an unfinished run."""
    folder = tmp_path / "03_train" / "<b>" / "fold0.partial"
    folder.mkdir(parents=True)
    return folder


def test_the_page_is_written_each_epoch_and_asks_for_nothing(home: Path) -> None:
    curves = LiveCurves(folder=home, epochs=6)
    told = history(0.5, 0.7, 0.6).assign(learning_rate=0.003, seconds=[2.0, 4.0, 6.0])
    curves.show(told)
    page = (home / PAGE).read_text(encoding="utf-8")
    assert "3 of 6 epochs; best by held-out AUC: epoch 2." in page
    assert "03_train/&lt;b&gt;/fold0" in page
    assert 'data-done="" data-left="3" data-seconds="4.000"' in page
    assert '<th scope="col">Held-out AUC</th>' in page
    assert "val_" not in page
    assert "3.00e-03" in page
    assert Reader(page).named == []
    assert page.count("<svg") == 2
    curves.show(told.iloc[:1])  # of a run that was killed and taken up again
    assert "1 of 6 epochs; best by held-out AUC: epoch 1." in (home / PAGE).read_text("utf-8")
    assert {file.name for file in home.iterdir()} == {PAGE}


def test_a_finished_run_says_so_and_its_page_is_left_alone(home: Path) -> None:
    curves = LiveCurves(folder=home, epochs=6)
    curves.show(history(0.5, 0.7))
    curves.write(home)
    assert "Finished after 2 epochs; best by" in (home / PAGE).read_text(encoding="utf-8")
    final = home.rename(home.with_name("fold0"))
    curves.show(history(0.5, 0.7))  # its cell is run again
    assert not home.exists()
    assert "Finished" in curves.write(final).read_text(encoding="utf-8")


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_an_open_page_follows_the_run_to_its_end_and_its_last_folder(home: Path, page: Any) -> None:
    curves = LiveCurves(folder=home, epochs=3)
    curves.show(history(0.5))
    page.goto((home / PAGE).as_uri())
    assert "1 of 3 epochs" in page.inner_text("main")
    curves.show(history(0.5, 0.7))
    page.get_by_text("2 of 3 epochs").wait_for()
    curves.write(home)
    home.rename(home.with_name("fold0"))
    page.wait_for_selector("main[data-done=yes]")
    assert "Finished after 2 epochs" in page.inner_text("main")
