"""The errors worth looking at, and what was called rightly beside them."""

from __future__ import annotations

import math

import pandas as pd

from melnb.evaluation.rows import binary_rows, first_by_score, joined_rows


def worst_errors(
    predictions: pd.DataFrame, *, positive: str, threshold: float, n: int = 12
) -> pd.DataFrame:
    """Return the n most confident false negatives and the n most confident false positives.

    Returns:
        `error` (`false negative`, `false positive`), `image_id`, `fold`, `truth` (the class),
        `score`; worst first within each kind. No row where the threshold is NaN: none was chosen.
    """
    rows = binary_rows(predictions, positive=positive)
    rows = rows.head(0) if math.isnan(threshold) else rows
    rows = rows.rename(columns={"truth": "is_positive"})
    rows = joined_rows(rows, predictions[["image_id", "truth"]])
    flagged = rows["score"] >= threshold
    made = []
    for error, wrong, rising in (
        ("false negative", rows["is_positive"] & ~flagged, True),
        ("false positive", ~rows["is_positive"] & flagged, False),
    ):
        worst = first_by_score(rows[wrong], n, rising=rising)
        made.append(worst.assign(error=error))
    columns = ["error", "image_id", "fold", "truth", "score"]
    return pd.concat(made, ignore_index=True)[columns]


def surest_calls(
    predictions: pd.DataFrame, *, positive: str, threshold: float, n: int = 6
) -> pd.DataFrame:
    """Return the n most confident hits, misses and false alarms.

    Returns:
        `call` (`hit`, `miss`, `false alarm`), `image_id`, `fold`, `truth` (the class), `score`;
        the surest first within each.
    """
    wrong = worst_errors(predictions, positive=positive, threshold=threshold, n=n)
    names = {"false negative": "miss", "false positive": "false alarm"}
    rows = predictions.assign(score=predictions[f"p_{positive}"], call="hit")
    found = rows[(rows["truth"] == positive) & (rows["score"] >= threshold)]
    hits = first_by_score(found, n, rising=False)
    errors = wrong.assign(call=wrong["error"].map(names))
    columns = ["call", "image_id", "fold", "truth", "score"]
    return pd.concat([hits[columns], errors[columns]], ignore_index=True)


def drawn_calls(
    predictions: pd.DataFrame, *, positive: str, n: int = 100, seed: int = 0
) -> pd.DataFrame:
    """Draw n images with a truth, half of them positive as far as there are.

    Returns:
        Columns ending in `_id`, `fold`, `truth` and `group` (the positive class, or `rest`), in
        the order of the predictions.
    """
    known = predictions[predictions["truth"].notna()]
    group = known["truth"].where(known["truth"] == positive, "rest")
    rare = int((group == positive).sum())
    take = {positive: min(rare, max(n // 2, n - (len(known) - rare)))}
    take["rest"] = min(len(known) - rare, n - take[positive])
    drawn = [known[group == name].sample(count, random_state=seed) for name, count in take.items()]
    rows = pd.concat(drawn).sort_index()
    ids = [column for column in rows.columns if str(column).endswith("_id")]
    return rows[[*ids, "fold", "truth"]].assign(group=group).reset_index(drop=True)
