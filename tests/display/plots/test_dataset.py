import numpy as np
import pandas as pd
import pytest

from melnb.display.plots import dataset


def test_class_counts_sum_to_the_images(images: pd.DataFrame) -> None:
    figure = dataset.class_counts(images)
    assert figure.layout.title.text == "Images of each class"
    assert set(figure.data[0].y) == {"Melanoma", "Nevus", "Unlabelled"}
    assert sum(figure.data[0].x) == len(images)
    assert figure.data[0].text[0] == "4  (33.3%)"


def test_ages_are_shares_of_known_ages(images: pd.DataFrame) -> None:
    figure = dataset.ages(images)
    assert figure.layout.xaxis.title.text == "Age (years)"
    assert {t.name for t in figure.data} == {"Melanoma (n = 2)", "Nevus (n = 2)"}
    for trace in figure.data:
        assert sum(trace.y) == pytest.approx(1)


@pytest.mark.parametrize("column", ["sex", "site", "source"])
def test_shares_of_each_class_sum_to_one(images: pd.DataFrame, column: str) -> None:
    figure = dataset.shares_by_class(images, column)
    assert figure.layout.title.text == f"{column.capitalize()} by class"
    np.testing.assert_allclose(np.sum([t.x for t in figure.data], axis=0), 1)
    if column != "source":
        assert figure.data[-1].name == "unknown"


def test_missing_values(images: pd.DataFrame) -> None:
    figure = dataset.missing_values(images)
    shares = dict(zip(figure.data[0].y, figure.data[0].x, strict=True))
    assert shares["age"] == 0.5
    assert shares["image_id"] == 0
    assert "mask_path" not in shares


def test_images_per_group(images: pd.DataFrame) -> None:
    figure = dataset.images_per_group(images)
    assert figure.layout.title.text == "Images of each patient (4 patients)"
    assert (list(figure.data[0].x), list(figure.data[0].y)) == ([3], [4])
    lesions = dataset.images_per_group(images, "lesion_id")
    assert lesions.layout.yaxis.title.text == "Lesions"


def test_image_sizes(images: pd.DataFrame) -> None:
    figure = dataset.image_sizes(images)
    assert figure.layout.title.text == "Sizes of pictures (1 different)"
    assert figure.data[0].customdata[0] == 12
    assert (
        dataset.image_sizes(images.head(0)).layout.title.text == "Sizes of pictures (0 different)"
    )


def test_mean_colours_has_a_box_for_each_class_and_channel() -> None:
    table = pd.DataFrame(
        {"target": ["nevus"] * 3 + ["melanoma"], "red": 200.0, "green": 100.0, "blue": 50.0}
    )
    figure = dataset.mean_colours(table)
    assert [t.name for t in figure.data] == ["Nevus (n = 3)", "Melanoma (n = 1)"]
    assert sorted(set(figure.data[0].x)) == ["Blue", "Green", "Red"]


def test_fold_balance_is_one_for_even_folds_and_leaves_the_test_rows_out() -> None:
    table = pd.DataFrame(
        {
            "fold": [0, 1, -1],
            "images": [10, 10, 99],
            "patients": [0, 0, 0],
            "images_per_patient": [np.nan] * 3,
            "lesions": [5, 5, 9],
            "melanoma": [1, 3, 9],
        }
    )
    figure = dataset.fold_balance(table)
    assert [t.name for t in figure.data] == ["Images", "Melanoma"]
    assert list(figure.data[0].y) == [1, 1]
    assert list(figure.data[1].y) == [0.5, 1.5]
    assert list(figure.data[0].x) == ["0", "1"]
