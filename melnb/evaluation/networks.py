"""Test rows as each fold's network judges them, one by one.

An out-of-fold row is judged by one network, a test row by the mean of all, which errs less. So what
out-of-fold rows teach (a threshold, a calibrator) is not right for the mean: where the networks'
log odds err as much as the images differ, a sensitivity of 0.90 becomes 0.97 and the slope of the
calibration 1.8. To calibrate each network before averaging does not mend it: the mean of calibrated
networks is not sure enough (Rahaman and Thiery 2021, NeurIPS 34). Network by network it holds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from melnb.evaluation.summaries import cluster_column
from melnb.tables import TEST, TableError, class_names

Networks = Mapping[int, pd.DataFrame]
"""Fold and predictions of the network that was trained without it, of the same test rows."""
NETWORK = "network"


def network_rows(predictions: pd.DataFrame, networks: Networks) -> pd.DataFrame:
    """Return test rows as often as there are networks, each with one network's values.

    The rows of an image err together: they share its patient, else its lesion, else a `lesion_id`
    that is the image's own.

    Args:
        predictions: Predictions table of test rows, the networks' mean.
        networks: Of these rows and, maybe, others; none: the table is returned as it is.

    Returns:
        A predictions table; `image_id` is `<image>+fold<fold>`, and `network` is the fold.

    Raises:
        TableError: A network lacks a row or a class.
    """
    if not networks or predictions.empty:
        return predictions
    column = cluster_column(predictions) or "lesion_id"
    known = predictions[column] if column in predictions else pd.Series(index=predictions.index)
    own = known.astype(object).where(known.notna(), predictions["image_id"])
    rows = predictions.assign(**{column: own})
    made = []
    for fold, table in networks.items():
        names = [f"p_{name}" for name in class_names(predictions)]
        ids = predictions["image_id"].astype(str) + f"+fold{fold}"
        values = _values(predictions, table, fold)
        made.append(rows.assign(image_id=ids, **dict(zip(names, values.T, strict=True))))
        made[-1][NETWORK] = fold
    return pd.concat(made, ignore_index=True)


def with_mean(predictions: pd.DataFrame, networks: Networks) -> pd.DataFrame:
    """Return predictions whose test rows have the mean of the networks' values.

    Args:
        predictions: Predictions table.
        networks: Of its test rows; none: the table is returned as it is.

    Raises:
        TableError: A network lacks a row or a class.
    """
    test = (predictions["fold"] == TEST).to_numpy()
    if not networks or not test.any():
        return predictions
    rows = predictions[test]
    values = np.mean([_values(rows, table, fold) for fold, table in networks.items()], axis=0)
    made = predictions.copy()
    made.loc[test, [f"p_{name}" for name in class_names(predictions)]] = values
    return made


def mean_remark(judged: Mapping[str, pd.DataFrame], networks: Mapping[str, Networks]) -> str:
    """Return what to know of test rows of which one score alone is known; nothing if none are.

    Args:
        judged: Label and predictions of rows with a truth.
        networks: Those of its test rows, by label, where they are known.
    """
    alone = [
        name
        for name, table in judged.items()
        if not networks.get(name) and (table["fold"] == TEST).any()
    ]
    if not alone:
        return ""
    return (
        f"Of the test images of {', '.join(alone)} one score each is known, and judged as it comes."
        " If it is a mean of networks, neither a threshold nor a calibrator that was fitted to"
        " single networks is quite right for it: what was locked for a sensitivity of 0.90 finds"
        " 0.93 to 0.97, and the slope of the calibration lies above 1."
    )


def count_networks(predictions: pd.DataFrame) -> int:
    """Return how many rows there are of each image: 1, or as many as there are networks."""
    return int(predictions[NETWORK].nunique()) if NETWORK in predictions else 1


def image_ids(predictions: pd.DataFrame) -> pd.Series:
    """Return the image that each row is of: what `network_rows` began its `image_id` with."""
    ids = predictions["image_id"].astype(str)
    if NETWORK not in predictions:
        return ids
    ends = "+fold" + predictions[NETWORK].astype(str)
    whole = [own.removesuffix(end) for own, end in zip(ids, ends, strict=True)]
    return pd.Series(whole, index=predictions.index)


def _values(rows: pd.DataFrame, table: pd.DataFrame, fold: int) -> np.ndarray:
    """Return a network's values of rows, in the order of their classes."""
    names = [f"p_{name}" for name in class_names(rows)]
    absent = [name for name in names if name not in table]
    if absent:
        raise TableError(f"network of fold {fold}: no column {absent[0]}: run 04_predict anew")
    found = table.set_index("image_id")[names].reindex(rows["image_id"]).to_numpy(dtype=float)
    lost = np.isnan(found).any(axis=1)
    if lost.any():
        raise TableError(
            f"network of fold {fold}: no value of {rows['image_id'].iloc[int(lost.argmax())]} "
            f"({int(lost.sum())} such images): run 04_predict anew"
        )
    return found
