"""How each picture stands among those of its patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from melnb.evaluation.context.outliers import outlier_factors
from melnb.tables import TableError, class_names

FEWEST = 3  # pictures of a patient; with fewer there is no one to be unlike
MEASURES = (
    "lesion_share", "lesion_red", "lesion_green", "lesion_blue", "colour_spread", "contrast",
)  # fmt: skip
NEUTRAL = {"z": 0.0, "rank": 0.5, "difference": 0.0, "ratio": 1.0}

_ALIKE = 1e-12  # of the mean: what rounding leaves of a spread of 0


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
    groups = patient_codes(predictions[patient])
    score = predictions[f"p_{positive}"].to_numpy(dtype=float)
    number = np.bincount(groups, minlength=1)[groups]
    made = {"image_id": predictions["image_id"].to_numpy(), "fold": predictions["fold"].to_numpy()}
    made |= {"pictures": number, "score": score}
    standing = _standing(score, groups)
    made |= {f"score_{name}": of for name, of in standing.items()}
    made["score_lof"] = outlier_factors(standing["z"][:, None], groups, fewest=FEWEST)
    if measures is not None:
        own = _measured(predictions, measures, columns)
        z = np.column_stack([_standing(v, groups)["z"] for v in own.T])
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


def patient_codes(patients: pd.Series) -> np.ndarray:
    """Return a whole number per row, equal within a patient; an unknown patient is alone."""
    codes, names = pd.factorize(patients)
    unknown = codes == -1
    return np.asarray(np.where(unknown, len(names) + np.cumsum(unknown) - 1, codes))


def _standing(values: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Return z, rank, difference and ratio of each value among its group's; NaN is neutral."""
    known = ~np.isnan(values)
    size = int(groups.max(initial=-1)) + 1
    filled = np.where(known, values, 0.0)
    number = np.bincount(groups, weights=known, minlength=size)
    mean = np.bincount(groups, weights=filled, minlength=size) / np.maximum(number, 1)
    apart = np.where(known, values - mean[groups], 0.0)
    squares = np.bincount(groups, weights=apart**2, minlength=size)
    spread = np.sqrt(squares / np.maximum(number - 1, 1))
    usable = known & (number >= FEWEST)[groups]
    varied = usable & (spread > _ALIKE * np.maximum(np.abs(mean), _ALIKE))[groups]
    level = mean[groups]
    made = {name: np.full(len(values), neutral) for name, neutral in NEUTRAL.items()}
    np.divide(apart, spread[groups], out=made["z"], where=varied)
    np.copyto(made["difference"], apart, where=usable)
    np.divide(values, level, out=made["ratio"], where=usable & (level != 0))
    np.copyto(made["rank"], _mid_ranks(values, groups), where=usable)
    return made


def _mid_ranks(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the mean rank less a half as a share of the group: 0.5 where all are tied."""
    ranked = pd.Series(values).groupby(groups).rank()
    counts = pd.Series(values).groupby(groups).transform("count")
    return np.asarray((ranked - 0.5) / counts.where(counts > 0))


def _measured(
    predictions: pd.DataFrame, measures: pd.DataFrame, columns: Sequence[str]
) -> np.ndarray:
    """Return the measures of each row, rows x columns, joined by id; NaN where there are none."""
    absent = [c for c in ("image_id", *columns) if c not in measures]
    if absent:
        raise TableError(f"measures: no column {absent}: make it with measure_images")
    found = measures.set_index("image_id")[list(columns)].reindex(predictions["image_id"])
    return found.to_numpy(dtype=float)
