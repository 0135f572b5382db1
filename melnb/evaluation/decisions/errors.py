"""The errors worth looking at."""

from __future__ import annotations

import pandas as pd

from melnb.evaluation.rows import binary_rows


def worst_errors(
    predictions: pd.DataFrame, *, positive: str, threshold: float, n: int = 12
) -> pd.DataFrame:
    """Return the n most confident false negatives and the n most confident false positives.

    Returns:
        `error` (`false negative`, `false positive`), `image_id`, `fold`, `truth` (the class),
        `score`; worst first within each kind.
    """
    rows = binary_rows(predictions, positive=positive)
    rows = rows.rename(columns={"truth": "is_positive"})
    rows = rows.merge(predictions[["image_id", "truth"]], on="image_id")
    flagged = rows["score"] >= threshold
    made = []
    for error, wrong, rising in (
        ("false negative", rows["is_positive"] & ~flagged, True),
        ("false positive", ~rows["is_positive"] & flagged, False),
    ):
        worst = rows[wrong].sort_values(["score", "image_id"], ascending=[rising, True]).head(n)
        made.append(worst.assign(error=error))
    columns = ["error", "image_id", "fold", "truth", "score"]
    return pd.concat(made, ignore_index=True)[columns]
