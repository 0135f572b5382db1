"""Scores of other models as features: out of fold, and on this dataset's own folds.

A score of a model that has learnt from the image tells the image's truth; a model of tables that
is given it learns to trust it as it never may. So each image's score is by a model that held out
the very fold that the image lies in here.

Wolpert 1992, Neural Networks 5:241, on stacking.
"""

from __future__ import annotations

import pandas as pd

from melnb.checks import constant
from melnb.data.features.tables import LEFT_OUT
from melnb.patients.overlap import match
from melnb.tables import TEST, TableError, check_folds, check_predictions, class_names


def score_features(
    predictions: pd.DataFrame, folds: pd.DataFrame, *, positive: str, name: str = ""
) -> pd.DataFrame:
    """Return the score of each image as a feature.

    Args:
        predictions: A predictions table, out-of-fold rows and, if there are any, test rows too
            (`pd.concat` of both files).
        folds: The folds table of the dataset.
        positive: The class that the score is of.
        name: Of the column; empty: `score_<run>`.

    Returns:
        `image_id` and the score, a row for each image of the dataset that was predicted.

    Raises:
        TableError: No such class, none of the dataset's images, or an image lies in another fold
            of the run than of the dataset, so that its score may be by a model that saw it.
    """
    check_folds(folds)
    check_predictions(predictions)
    run = constant(predictions, "run")
    if positive not in class_names(predictions):
        raise TableError(
            f"predictions of {run}: positive is {positive!r}, not one of "
            f"{list(class_names(predictions))}"
        )
    there = match(folds["image_id"], predictions["image_id"])
    said = predictions[["fold", f"p_{positive}"]].rename(columns={"fold": "fold_run"})
    known = folds.loc[there >= 0, ["image_id", "fold"]].reset_index(drop=True)
    both = known.join(said.iloc[there[there >= 0]].reset_index(drop=True))
    if both.empty:
        raise TableError(f"predictions of {run} know none of the dataset's {len(folds)} images")
    _check_held_out(both, run)
    made = both[["image_id"]].assign(
        **{name or f"score_{run}": both[f"p_{positive}"].to_numpy(dtype=float)}
    )
    made.attrs[LEFT_OUT] = {}
    return made


def _check_held_out(both: pd.DataFrame, run: str) -> None:
    wrong = both["fold"] != both["fold_run"]
    if wrong.any():
        row = both[wrong].iloc[0]
        here, there = (
            "the test images" if k == TEST else f"fold {k}" for k in (row["fold"], row["fold_run"])
        )
        raise TableError(
            f"predictions of {run}: {row['image_id']} lies in {there} of the run, but in {here} of "
            f"the dataset ({int(wrong.sum())} of {len(both)} such images): their scores may be by "
            "a model that learnt from them; give a run of 04_predict on this dataset, or prepare "
            "the dataset with the folds of the run (fold_column)"
        )
