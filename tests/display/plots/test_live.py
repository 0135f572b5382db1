import pandas as pd

from melnb.display.plots.training import LiveCurves


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
