"""What the figures of robustness show: a panel a corruption, from the clean pictures on."""

import numpy as np
import pandas as pd

from melnb.display.plots import robustness


def costs() -> pd.DataFrame:
    rows = [("none", 0, 0.9), ("ink", 1, 0.88), ("ink", 3, 0.8), ("jpeg", 3, 0.85)]
    table = pd.DataFrame(rows, columns=["corruption", "strength", "value"])
    return table.assign(
        metric="AUC", low=table["value"] - 0.05, high=table["value"] + 0.05,
        difference=table["value"] - 0.9,
    )  # fmt: skip


def test_each_corruption_has_a_panel_that_begins_at_the_clean_pictures() -> None:
    figure = robustness.robustness_table(costs())
    assert figure.layout.title.text == "AUC by strength"
    assert [a.text for a in figure.layout.annotations] == ["Ink", "Jpeg"]
    assert [list(t.x) for t in figure.data] == [[0, 1, 3], [0, 3]]
    assert [list(t.y) for t in figure.data] == [[0.9, 0.88, 0.8], [0.9, 0.85]]
    np.testing.assert_allclose(figure.data[0].error_y.arrayminus, 0.05)
    lines = [s.y0 for s in figure.layout.shapes if s.type == "line"]
    assert lines == [0.9, 0.9]
    empty = robustness.robustness_table(costs().head(1))
    assert len(empty.data) == 0


def test_pulls_stand_about_a_line_of_none_each_class_in_its_colour() -> None:
    table = pd.DataFrame(
        {
            "corruption": ["ink", "ink", "hair_removal", "hair_removal"],
            "class": ["melanoma", "other"] * 2,
            "logit": [0.2, 0.9, -0.1, 0.0], "logit_low": [0.1, 0.8, -0.2, -0.1],
            "logit_high": [0.3, 1.0, 0.0, 0.1], "probability": 0.1, "turned": 0.2, "n": 9,
        }
    )  # fmt: skip
    figure = robustness.artefact_pulls(table)
    assert [t.name for t in figure.data] == ["Melanoma", "Other"]
    assert list(figure.data[1].x) == [0.9, 0.0]
    assert figure.data[0].marker.color != figure.data[1].marker.color
    assert list(figure.layout.yaxis.ticktext) == ["Ink", "Hair removal"]
    assert [s.x0 for s in figure.layout.shapes] == [0]
