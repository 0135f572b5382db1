import numpy as np
import pandas as pd
import pytest

from melnb.display.plots import training

HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "loss": [0.9, 0.5, 0.2],
        "auc": [0.6, 0.8, 0.95],
        "val_loss": [0.8, 0.6, 0.7],
        "val_auc": [0.7, 0.8, 0.85],
    }
)


@pytest.mark.parametrize(("monitor", "epoch"), [("val_auc", 2), ("val_loss", 1)])
def test_the_epoch_kept_is_marked_on_both_curves(monitor: str, epoch: int) -> None:
    figure = training.learning_curves(HISTORY, monitor=monitor)
    kept = [t for t in figure.data if t.name == "epoch kept"]
    assert [t.x[0] for t in kept] == [epoch, epoch]
    assert [t.y[0] for t in kept] == [HISTORY["val_loss"][epoch], HISTORY["val_auc"][epoch]]
    assert [a.text for a in figure.layout.annotations] == ["Loss", "AUC"]
    assert figure.layout.yaxis2.title.text == "AUC"


def test_runs_share_a_legend() -> None:
    figure = training.learning_curves({"fold 0": HISTORY, "fold 1": HISTORY.drop(columns="epoch")})
    listed = [t.name for t in figure.data if t.showlegend]
    assert listed == ["fold 0 held out", "fold 1 held out"]
    assert len(figure.data) == 2 * 2 * 3


def test_a_history_of_losses_alone() -> None:
    figure = training.learning_curves(HISTORY[["epoch", "loss"]])
    assert [t.name for t in figure.data] == ["training"]


def test_schedule_table() -> None:
    table = pd.DataFrame({"step": [0, 1], "epoch": [0.0, 0.5], "learning_rate": [1e-3, 1e-4]})
    figure = training.schedule_table(table)
    assert figure.layout.title.text == "Learning rate"
    assert list(figure.data[0].y) == [1e-3, 1e-4]


def test_range_test_marks_what_is_suggested_and_keeps_a_burst_out_of_the_scale() -> None:
    rates = np.geomspace(1e-6, 1, 50)
    smoothed = np.where(np.arange(50) < 45, np.linspace(1.0, 0.5, 50), 400.0)
    table = pd.DataFrame({"learning_rate": rates, "loss": smoothed + 0.1, "smoothed": smoothed})
    figure = training.range_test(table, {"valley": 1e-3, "steepest": 2e-2})
    names = [trace.name for trace in figure.data]
    assert names == ["each batch", "smoothed", "valley 1.0e-03", "steepest 2.0e-02"]
    assert [list(t.x) for t in figure.data[2:]] == [[1e-3] * 2, [2e-2] * 2]
    assert figure.layout.xaxis.type == "log"
    low, high = figure.layout.yaxis.range
    assert low < smoothed.min()
    assert 1.0 < high < 2.0


def test_range_test_of_a_loss_that_stands_still() -> None:
    table = pd.DataFrame({"learning_rate": [1e-3, 1e-2], "loss": 0.7, "smoothed": 0.7})
    figure = training.range_test(table, {"valley": 1e-3})
    assert figure.layout.yaxis.range is None
    assert len(figure.data) == 3
