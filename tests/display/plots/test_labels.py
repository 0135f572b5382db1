import pandas as pd

from melnb.display.plots import training

TABLE = pd.DataFrame(
    {"low": [0.0, 0.25, 0.5, 0.75], "high": [0.25, 0.5, 0.75, 1.0],
     "kept": [9, 0, 1, 4], "not_kept": [0, 6, 2, 0]}
)  # fmt: skip


def test_every_image_stands_in_a_bar_of_its_score() -> None:
    figure = training.pseudo_histogram(TABLE, positive="melanoma", thresholds=(0.25, 0.7))
    assert [trace.name for trace in figure.data] == ["learnt from", "left out"]
    assert sum(sum(trace.y) for trace in figure.data) == 22
    assert list(figure.data[0].x) == [0.125, 0.375, 0.625, 0.875]
    assert [shape.x0 for shape in figure.layout.shapes] == [0.25, 0.7]
    assert figure.layout.xaxis.title.text == "Probability of melanoma"
    assert figure.layout.barmode == "stack"


def test_without_thresholds_no_line_is_drawn() -> None:
    assert not training.pseudo_histogram(TABLE, positive="melanoma").layout.shapes
