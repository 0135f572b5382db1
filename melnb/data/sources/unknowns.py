"""The unknown: images without a diagnosis, some of which a model can name.

Of the benign images of SIIM-ISIC 2020 five in six have the diagnosis unknown, and most of them are
nevi. A network that learns diagnoses would learn the two names as two classes that look alike.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.data.sources.vocabulary import UNKNOWN
from melnb.diagnoses import MELANOMA, NAMES
from melnb.patients.overlap import match
from melnb.tables import TEST, check_predictions

_NAMED = ("malignant", MELANOMA)  # targets that are never renamed, whatever the diagnosis says


def relabel_unknown(
    images: pd.DataFrame,
    predictions: pd.DataFrame,
    *,
    of: str = "nevus",
    percentile: float = 5.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give unknown images the diagnosis that a model sees in them as surely as in known ones.

    The threshold is a percentile of the score of images that are known to be `of`; unknown images
    that reach it are called so (Pan 2020, second place of SIIM-ISIC 2020: the 5th percentile of
    known nevi). So about the remaining share of true ones among the unknown is found; how many
    of those renamed are something else is not known.

    The threshold is fitted on out-of-fold rows (fold 0 or more) alone, for a network is sure of
    what it has learnt, and then applied to unknown images in any row, those of fold -1 too, which
    no network has learnt from. Test images of the table and melanomas are never touched.

    Args:
        images: The images table.
        predictions: A predictions table of a model that was trained on labelled diagnoses.
        of: The diagnosis to look for.
        percentile: Of the scores of known images, 0 to 100; the greater, the fewer are renamed.

    Returns:
        The table with `diagnosis` changed, and `target` where it was unknown too; and one row of
        counts: `diagnosis, percentile, threshold, known` (images that the threshold is from),
        `unknown` (before), `relabelled, not_predicted` (unknown, but in no row).

    Raises:
        ValueError: Predictions do not hold the class or any known image of it out of fold, the
            percentile is out of bounds, or `of` cannot be given.
    """
    if of not in NAMES or of in (UNKNOWN, MELANOMA):
        raise ValueError(f"of is {of!r}; use a diagnosis other than {UNKNOWN} and {MELANOMA}")
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile is {percentile}; use 0 to 100")
    rows = _rows(predictions, of)
    there = match(images["image_id"], rows["image_id"])
    score, fold = (rows[n].reindex(there).set_axis(images.index) for n in ("score", "fold"))
    learnt = images["split"].ne("test") if "split" in images else pd.Series(True, images.index)
    known = score[learnt & (images["diagnosis"] == of) & (fold != TEST)].dropna()
    if known.empty:
        raise ValueError(
            f"relabel: predictions hold no out-of-fold row of an image known as {of}: "
            "give those of a model that was trained on folds of these images"
        )
    threshold = float(np.percentile(known, percentile))
    unknown = learnt & (images["diagnosis"] == UNKNOWN) & ~images["target"].isin(_NAMED)
    found = unknown & (score >= threshold)
    same = found & (images["target"].isna() | (images["target"] == UNKNOWN))
    changed = images.assign(
        diagnosis=images["diagnosis"].where(~found, of), target=images["target"].where(~same, of)
    )
    counts = {
        "diagnosis": of, "percentile": percentile, "threshold": threshold, "known": len(known),
        "unknown": int(unknown.sum()), "relabelled": int(found.sum()),
        "not_predicted": int((unknown & score.isna()).sum()),
    }  # fmt: skip
    return changed, pd.DataFrame([counts])


def _rows(predictions: pd.DataFrame, of: str) -> pd.DataFrame:
    """Return the image, the score of a class and the fold."""
    check_predictions(predictions)
    if f"p_{of}" not in predictions:
        names = [c for c in predictions if str(c).startswith("p_")]
        raise ValueError(f"relabel: predictions have no column p_{of} (classes: {names})")
    rows = predictions[["image_id", f"p_{of}", "fold"]].reset_index(drop=True)
    return rows.set_axis(["image_id", "score", "fold"], axis=1)
