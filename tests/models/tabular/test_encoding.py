"""Encoding: every cell by hand; missing is something, and the unknown is nothing."""

import numpy as np
import pandas as pd
import pytest

from melnb.models.tabular.table_rows import column_kinds, make_encoder, read_features
from melnb.tables.checks import TableError


def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": list("abcd"),
            "age": [40.0, 60.0, np.nan, 50.0],
            "site": ["torso", "head/neck", np.nan, "torso"],
            "many": pd.array([1, 2, 3, None], dtype="Int64"),
            "hairy": [True, False, True, True],
        }
    )


def test_numbers_and_words_are_told_apart() -> None:
    read = read_features(people())
    assert column_kinds(read) == (["age", "many", "hairy"], ["site"])
    assert read.loc["d", "hairy"] == 1.0
    assert np.isnan(read.loc["d", "many"])
    grades = pd.Categorical([1, 2, 2, None])  # a category is a word, though it looks like a number
    words = read_features(people().assign(grade=grades))["grade"]
    assert words.tolist()[:3] == ["1", "2", "2"]
    assert pd.isna(words["d"])


def test_every_cell_of_a_filled_encoder() -> None:
    read = read_features(people())[["age", "site"]]
    cells = make_encoder(["age"], ["site"]).fit_transform(read)
    deviation = np.sqrt(200 / 4)  # missing is filled with the mean first
    expected = [
        [-10 / deviation, 0, 0, 1, 0],
        [10 / deviation, 0, 1, 0, 0],
        [0, 1, 0, 0, 1],
        [0, 0, 0, 1, 0],
    ]
    np.testing.assert_allclose(cells, expected, atol=1e-12)


@pytest.mark.parametrize(
    "ages", [[50.0, 50.0], [0.0, 1.4e-45], [1e300, -1e300], [1e8, 1e8 + 1e-7], [np.nan, 50.0]]
)
def test_numbers_of_any_size_are_filled_and_scaled(ages: list[float]) -> None:
    read = read_features(people())[["age"]]
    encoder = make_encoder(["age"], []).fit(read.head(2).assign(age=ages))
    cells = encoder.transform(read)
    assert np.isfinite(cells.astype(np.float32)).all()
    if ages != [1e300, -1e300]:  # in the others training images hardly vary
        assert (cells[:, 0] == 0).all()


def test_kept_numbers_stay_missing() -> None:
    read = read_features(people())[["age", "site"]]
    cells = make_encoder(["age"], ["site"], missing="keep").fit_transform(read)
    np.testing.assert_array_equal(cells[:, 0], read["age"])
    assert cells.shape == (4, 4)


def test_what_training_rows_do_not_have_is_no_cell() -> None:
    read = read_features(people())[["age", "site"]]
    encoder = make_encoder(["age"], ["site"]).fit(read.loc[["a", "b"]])
    cells = encoder.transform(read.assign(site=["palms/soles", "torso", np.nan, "torso"]))
    assert cells.shape == (4, 3)  # neither age nor site was ever missing
    np.testing.assert_array_equal(cells[0, 1:], [0, 0])
    np.testing.assert_array_equal(cells[2], [0, 0, 0])


@pytest.mark.parametrize("missing", ["fill", "keep"])
def test_a_column_that_is_empty_in_training_rows_is_harmless(missing: str) -> None:
    read = read_features(people())
    read.loc[["a", "b"], ["age", "site"]] = np.nan
    numbers, words = column_kinds(read)
    cells = make_encoder(numbers, words, missing=missing).fit(read.loc[["a", "b"]]).transform(read)
    assert missing == "keep" or np.isfinite(cells).all()


def test_words_alone_and_numbers_alone() -> None:
    read = read_features(people())
    assert make_encoder([], ["site"]).fit_transform(read[["site"]]).shape == (4, 3)
    assert make_encoder(["hairy"], []).fit_transform(read[["hairy"]]).shape == (4, 1)


def test_refusals() -> None:
    with pytest.raises(TableError, match="age is infinite in 1 rows"):
        read_features(people().assign(age=[1, 2, 3, -np.inf]))
    with pytest.raises(TableError, match="no column besides image_id"):
        read_features(people()[["image_id"]])
    with pytest.raises(TableError, match=r"images differ in none of \['age'\]"):
        read_features(people()[["image_id", "age"]].assign(age=1.0))
    with pytest.raises(TableError, match="column 'age' stands twice"):
        read_features(pd.concat([people(), people()[["age"]]], axis=1))
    with pytest.raises(TableError, match="features: no column 'image_id'"):
        read_features(people().drop(columns="image_id"))
