"""Rows: joined by id and nothing else; what cannot be learnt from is refused by name."""

import numpy as np
import pandas as pd
import pytest

from melnb.models.tabular.table_rows import Rows, make_rows
from melnb.tables.checks import TableError

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
CLASSES = ("other", "melanoma")


def test_every_table_may_come_in_any_order(tables: Tables, rows: Rows) -> None:
    images, features, folds = (t.sample(frac=1, random_state=k) for k, t in enumerate(tables))
    again = make_rows(features, folds, images, classes=CLASSES)
    for name in ("image_ids", "fold", "codes"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rows, name))
    pd.testing.assert_frame_equal(again.features, rows.features)
    assert sorted(rows.image_ids) == list(rows.image_ids)


def test_a_folds_model_is_fitted_on_all_other_folds_and_never_on_test(rows: Rows) -> None:
    assert rows.folds == (0, 1, 2)
    for fold in rows.folds:
        assert set(rows.fold[rows.outside(fold)]) == {0, 1, 2} - {fold}
        assert set(rows.fold[rows.inside(fold)]) == {fold}
    assert pd.isna(rows.truths(rows.inside(-1))).all()
    named = rows.truths(rows.inside(0))
    assert [CLASSES[code] for code in rows.codes[rows.inside(0)]] == list(named)


def test_features_of_other_images_are_left_out(tables: Tables, rows: Rows) -> None:
    images, features, folds = tables
    more = pd.concat([features, features.head(1).assign(image_id="zz")])
    assert len(make_rows(more, folds, images, classes=CLASSES).features) == len(rows.features)


def test_classes_are_alphabetical_unless_given(tables: Tables) -> None:
    images, features, folds = tables
    assert make_rows(features, folds, images).classes == ("melanoma", "other")


def test_an_image_without_features_is_named(tables: Tables) -> None:
    images, features, folds = tables
    with pytest.raises(TableError, match=r"features: no row for image_id 'i0000' \(1 of 240"):
        make_rows(features.iloc[1:], folds, images)


def test_a_class_that_a_fold_cannot_learn_is_named(tables: Tables) -> None:
    images, features, folds = tables
    only = images["target"].where(folds["fold"].isin([1, -1]), "other")
    with pytest.raises(TableError, match="outside fold 1 hold no image of class 'melanoma'"):
        make_rows(features, folds, images.assign(target=only))


def test_further_refusals(tables: Tables) -> None:
    images, features, folds = tables
    lost = images["target"].mask(images["image_id"] == "i0003")
    with pytest.raises(TableError, match="target of i0003 is empty"):
        make_rows(features, folds, images.assign(target=lost))
    with pytest.raises(TableError, match="'melanoma', none of the classes"):
        make_rows(features, folds, images, classes=("other", "nevus"))
    with pytest.raises(TableError, match="two classes or more"):
        make_rows(features, folds, images.assign(target="other"))
    with pytest.raises(TableError, match=r"1 fold\(s\) besides test"):
        make_rows(features, folds.assign(fold=0), images.assign(target=["a", "b"] * 120))
    with pytest.raises(TableError, match="no column 'target'"):
        make_rows(features, folds, images[["image_id"]])
    with pytest.raises(TableError, match="'i0000' stands in more than one row"):
        make_rows(features, folds, pd.concat([images, images.head(1)]))


def test_an_unknown_class_is_refused(rows: Rows) -> None:
    with pytest.raises(ValueError, match="positive is 'nevus', none of the classes"):
        rows.code("nevus")
