"""How each picture stands among those of its patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from melnb.patients.groups import group_codes
from melnb.patients.outliers import outlier_factors
from melnb.patients.standings import FEWEST, standings
from melnb.tables import TableError, class_names

MEASURES = (
    "lesion_share", "lesion_red", "lesion_green", "lesion_blue", "colour_spread", "contrast",
)  # fmt: skip


def context_scores(
    predictions: pd.DataFrame,
    *,
    positive: str,
    patient: str = "patient_id",
    measures: pd.DataFrame | None = None,
    columns: Sequence[str] = MEASURES,
) -> pd.DataFrame:
    """Return how each picture stands among those of its patient, test rows too.

    `z` is the distance from the patient's mean in standard deviations, `rank` the mean rank as a
    share (0-1, 0.5 in the middle), `difference` and `ratio` are against the mean, `lof` is the
    local outlier factor among half of the pictures, at most 30 (Breunig et al. 2000, SIGMOD 29:93):
    1 for one of many, more for one apart. No truth is used, so that nothing leaks.

    Args:
        predictions: Predictions table.
        positive: The class looked for.
        patient: The column of patients.
        measures: The measures table, for the same of colours and sizes.
        columns: Of the measures.

    Returns:
        `image_id`, `fold`, `pictures` (of the patient; 1 when unknown), `score`, `score_z`,
        `score_rank`, `score_difference`, `score_ratio`, `score_lof`; with measures also
        `<column>_z` of each and `measures_lof` of all together. Patients of fewer than three
        pictures, and unknown ones, have neutral values: 0, 0.5, 0, 1, 1; so have missing measures.

    Raises:
        TableError: There is no such class or column.
    """
    check_patients(predictions, patient)
    classes = class_names(predictions)
    if positive not in classes:
        raise TableError(f"predictions: positive is {positive!r}, not one of {list(classes)}")
    groups = group_codes(predictions[patient])
    score = predictions[f"p_{positive}"].to_numpy(dtype=float)
    number = np.bincount(groups, minlength=1)[groups]
    made = {"image_id": predictions["image_id"].to_numpy(), "fold": predictions["fold"].to_numpy()}
    made |= {"pictures": number, "score": score}
    standing = standings(score, groups)
    made |= {f"score_{name}": of for name, of in standing.items()}
    made["score_lof"] = outlier_factors(standing["z"][:, None], groups, fewest=FEWEST)
    if measures is not None:
        own = _measured(predictions, measures, columns)
        z = np.column_stack([standings(v, groups)["z"] for v in own.T])
        made |= {f"{name}_z": of for name, of in zip(columns, z.T, strict=True)}
        # In standard deviations of the patient, so that every measure weighs alike.
        whole = np.where(np.isnan(own).any(axis=1, keepdims=True), np.nan, z)
        made["measures_lof"] = outlier_factors(whole, groups, fewest=FEWEST)
    return pd.DataFrame(made)


def check_patients(table: pd.DataFrame, patient: str) -> None:
    """Refuse a table without the column of patients.

    Raises:
        TableError: There is none.
    """
    if patient not in table.columns:
        raise TableError(
            f"predictions: no column {patient!r}: merge it from the images table by image_id"
        )


def _measured(
    predictions: pd.DataFrame, measures: pd.DataFrame, columns: Sequence[str]
) -> np.ndarray:
    """Return the measures of each row, rows x columns, joined by id; NaN where there are none."""
    absent = [c for c in ("image_id", *columns) if c not in measures]
    if absent:
        raise TableError(f"measures: no column {absent}: make it with measure_images")
    found = measures.set_index("image_id")[list(columns)].reindex(predictions["image_id"])
    return found.to_numpy(dtype=float)
