"""Label errors: confident learning on out-of-fold predictions, joined with nearest neighbours.

Written from the paper (Northcutt, Jiang and Chuang 2021, Journal of Artificial Intelligence
Research 70:1373), as its library, cleanlab, is under the AGPL.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from melnb.tables.checks import TEST, TableError, check_columns
from melnb.tables.findings import NOT_CHECKED, PASS, REVIEW, Finding
from melnb.tables.schema import class_names

LABEL_COLUMNS = ("image_id", "truth", "suggested", "confident", "doubt", "own", "neighbours")
_PRIOR = 5.0  # neighbours, half even over classes, half in their shares, beside those counted
_LEAST = 1e-4  # a probability that counts as none
_SHARE = 0.01  # of images in doubt, above which a person should look
_DOUBT = float(np.log(20))  # the label is less probable than 5 %, by both


def confident_labels(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return each image's label, and the one that predictions are confident of, if another.

    A class is confidently an image's if its probability reaches the mean that the class's own
    images have of it; of several the most probable is taken. What is confidently of another class
    than its label stands off the diagonal of the confident joint.

    Args:
        predictions: Predictions table; test rows and rows without a truth are left out.

    Returns:
        `image_id`, `truth`, `suggested` (empty: none), `own` (the label's probability).

    Raises:
        TableError: No row is out of fold.
    """
    rows = predictions[(predictions["fold"] != TEST) & predictions["truth"].notna()]
    if rows.empty:
        raise TableError("predictions: no out-of-fold row has a truth: give predictions of folds")
    classes, values, codes = _parts(rows)
    means = [
        values[codes == k, k].mean() if (codes == k).any() else np.inf for k in range(len(classes))
    ]
    reached = np.where(values >= np.array(means), values, 0.0)
    confident = np.where(reached.max(axis=1) > 0, reached.argmax(axis=1), codes)
    names = np.array(classes, dtype=object)
    return pd.DataFrame(
        {
            "image_id": rows["image_id"].to_numpy(),
            "truth": rows["truth"].to_numpy(),
            "suggested": np.where(confident != codes, names[confident], ""),
            "own": values[np.arange(len(codes)), codes],
        }
    )


def label_errors(
    predictions: Sequence[pd.DataFrame], neighbours: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Rank images by how much is said against their labels, the most doubtful first.

    What an image's neighbours are called is a second witness, and errs otherwise than the model.
    The label's probability is that of both together: the product of the model's and the
    neighbours', to which five more are added (Cestnik 1990, ECAI, 147), half of them in the shares
    of the classes and half alike to each. Of two witnesses' product the shares are a part twice
    (Kittler, Hatef, Duin and Matas 1998, IEEE PAMI 20:226): all five in them, and rare labels are
    doubted for being rare; all alike, and fewer are found where many are wrong.

    Args:
        predictions: Predictions tables of out-of-fold rows, of which the first is asked; none: no
            rows are returned.
        neighbours: `data.nearest_neighbours` of the same images, of other lesions, with their
            targets; None, or without a row: the model alone.

    Returns:
        `image_id`, `truth`, `suggested` (the class that both hold most probable but for the label),
        `confident` (by the model alone: off the diagonal of the confident joint), `doubt` (minus
        the logarithm of the label's probability by both), `own` (by the model), `neighbours` (the
        share of neighbours that bear the label; NaN where none are known).
    """
    if not predictions:
        return pd.DataFrame(columns=list(LABEL_COLUMNS))
    table = confident_labels(predictions[0])
    rows = predictions[0].set_index("image_id").loc[table["image_id"]].reset_index()
    classes, values, codes = _parts(rows)
    logs, share = np.log(values + _LEAST), np.full(len(rows), np.nan)
    if neighbours is not None and len(neighbours):
        counts = _counts(neighbours, rows["image_id"], classes)
        total = counts.sum(axis=1, keepdims=True)
        shares = np.bincount(codes, minlength=len(classes)) / len(codes)
        prior = _PRIOR * (shares + 1 / len(classes)) / 2
        logs = logs + np.log((counts + prior) / (total + _PRIOR) + _LEAST)
        given = counts[np.arange(len(codes)), codes]
        share = np.where(total[:, 0] > 0, given / np.maximum(total[:, 0], 1), np.nan)
    logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    doubt = -logs[np.arange(len(codes)), codes]
    others = logs.copy()
    others[np.arange(len(codes)), codes] = -np.inf
    table["confident"] = table["suggested"].ne("")
    table["suggested"] = np.array(classes, dtype=object)[others.argmax(axis=1)]
    table = table.assign(doubt=doubt, neighbours=share)[list(LABEL_COLUMNS)]
    return table.sort_values("doubt", ascending=False, kind="stable", ignore_index=True)


def _parts(rows: pd.DataFrame) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Return the classes, the probabilities of n rows, and the code of each label."""
    classes = class_names(rows)
    values = rows[[f"p_{name}" for name in classes]].to_numpy(dtype=float)
    return classes, values, pd.Index(classes).get_indexer(pd.Index(rows["truth"]))


def _counts(neighbours: pd.DataFrame, ids: pd.Series, classes: tuple[str, ...]) -> np.ndarray:
    check_columns(neighbours, ["image_id", "neighbour_target"], "neighbours")
    table = pd.crosstab(neighbours["image_id"], neighbours["neighbour_target"])
    wide = table.reindex(index=ids.to_numpy(), columns=list(classes), fill_value=0)
    return wide.fillna(0).to_numpy(dtype=float)


def label_error_finding(errors: pd.DataFrame, *, total: int = 0) -> Finding:
    """Say whether more labels are in doubt than 1 % (MEL015).

    In doubt are those that the model is confident are others, that both hold less probable than
    5 %, and that fewer than half of the neighbours bear.

    Args:
        errors: Of `label_errors`; no rows: not checked.
        total: Images judged; 0: as many as there are rows.
    """
    if errors.empty:
        words = "no out-of-fold predictions were given"
        remedy = "run 02b_audit with predictions, or with embeddings, whose probes make them"
        return Finding("MEL015", NOT_CHECKED, 0, words, remedy)
    doubtful = errors[
        errors["confident"] & (errors["doubt"] > _DOUBT) & ~(errors["neighbours"] >= 0.5)
    ]
    share = len(doubtful) / (total or len(errors))
    words = f"{len(doubtful):,} labels in doubt ({share:.1%})"
    if len(doubtful):
        first = doubtful.iloc[0]
        words += f", the first {first['image_id']}: {first['truth']}, or {first['suggested']}?"
    return Finding("MEL015", REVIEW if share > _SHARE else PASS, len(doubtful), words)
