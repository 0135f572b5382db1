"""The tasks: what is to be learnt of each image, its target."""

from __future__ import annotations

import numpy as np
import pandas as pd

from melnb.data.sources.vocabulary import GROUPS, UNKNOWN, find_odds
from melnb.tables.checks import TEST
from melnb.tables.diagnoses import MELANOMA, NAMES, OTHER
from melnb.tables.overlap import match
from melnb.tables.schema import check_predictions

# The unknown: images without a diagnosis, some of which a model can name.
#
# Of the benign images of SIIM-ISIC 2020 five in six have the diagnosis unknown, and most of them
# are nevi. A network that learns diagnoses would learn the two names as two classes that look
# alike.

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


DIAGNOSIS = "diagnosis"
MASK = "mask"
LESION = "lesion"  # the one class of task mask
TASKS = ("native", MELANOMA, DIAGNOSIS, MASK)


def set_task(images: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return the table with the targets of a task; images without a target stay without.

    Task `native` leaves the source's own classes as they are. Task `melanoma` keeps melanoma and
    calls every other class `other`. Task `diagnosis` makes every diagnosis of the ontology a class,
    `unknown` among them: that an image is not known to be more than benign is learnt too, as the
    winners of SIIM-ISIC 2020 did (Ha et al. 2020), and melanoma is read off. Where the classes
    are malignant and benign, the diagnosis tells which are melanoma.

    Task `mask` learns where the lesion is: every image with a mask is of the one class `lesion`,
    whatever the source says of it, and an image without one has no target.

    Raises:
        ValueError: There is no such task; nothing tells which images are melanoma; or no
            diagnosis but melanoma is named, or the diagnosis is at odds with the target; or, of
            task mask, no image has a mask.
    """
    if task not in TASKS:
        raise ValueError(f"no task {task!r} (tasks: {', '.join(TASKS)})")
    if task == "native":
        return images
    if task == MASK:
        return images.assign(target=_masked(images))
    labelled = images["target"].notna()
    target = _diagnoses(images) if task == DIAGNOSIS else _melanoma(images, labelled)
    return images.assign(target=target.where(labelled))


def merge_rare(images: pd.DataFrame, *, rarest: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Merge classes of too few images to be learnt and measured into `other`.

    Images of split test do not count. If all rare classes together are too few still, the next
    larger joins them. Melanoma is never merged; nor is a class of test images alone, which no
    model of these data can know.

    Args:
        images: The images table, its targets set.
        rarest: The fewest images of a class; 0: nothing is merged.

    Returns:
        The table with targets merged (the diagnosis stays), and one row per class as it was, the
        most frequent first: `target, images` (to learn from), `learnt_as`.
    """
    learnt = images[images["split"].ne("test")] if "split" in images else images
    counts = learnt["target"].value_counts()
    others = counts.drop(MELANOMA, errors="ignore").sort_index().sort_values(kind="stable")
    merged = list(others.index[others < rarest])
    while merged and counts[merged].sum() < rarest and len(merged) < len(others):
        merged = list(others.index[: len(merged) + 1])
    learnt_as = [OTHER if name in merged else name for name in counts.index]
    found = {"target": counts.index, "images": counts.to_numpy(), "learnt_as": learnt_as}
    target = images["target"].where(~images["target"].isin(merged), OTHER)
    return images.assign(target=target), pd.DataFrame(found)


def _melanoma(images: pd.DataFrame, labelled: pd.Series) -> pd.Series:
    classes = set(images["target"].dropna())
    named = images[DIAGNOSIS if "malignant" in classes else "target"]
    # A test set may do without, if its classes say that it does.
    held_out = images["split"].eq("test") if "split" in images else False
    none = named.isin({*NAMES, OTHER, "benign"} - {UNKNOWN, MELANOMA}) & held_out
    if labelled.any() and not (named[labelled] == MELANOMA).any() and not none[labelled].all():
        raise ValueError(
            f"task melanoma: none of {labelled.sum()} labelled images is named melanoma (classes: "
            f"{sorted(classes)}): use task native, or name melanoma so, by its class folder or in "
            "the column diagnosis"
        )
    return pd.Series(np.where(named == MELANOMA, MELANOMA, OTHER), images.index, dtype=object)


def _masked(images: pd.DataFrame) -> pd.Series:
    if "mask_path" not in images or images["mask_path"].isna().all():
        raise ValueError(f"task mask: none of {len(images)} images has a mask (column mask_path)")
    return pd.Series(LESION, images.index, dtype=object).where(images["mask_path"].notna())


def _diagnoses(images: pd.DataFrame) -> pd.Series:
    """Return each image's diagnosis; where it is unknown, the target if that says more."""
    target, said = images["target"], images[DIAGNOSIS].fillna(UNKNOWN).astype(object)
    odd = find_odds(target, said)
    if odd.any():
        row = images[odd].iloc[0]
        raise ValueError(
            f"task diagnosis: {row['image_id']} has diagnosis {row[DIAGNOSIS]} but target "
            f"{row['target']} ({odd.sum()} such images): correct one of the two columns"
        )
    own = target.where(~target.isin(GROUPS), UNKNOWN)
    named = said.where(said != UNKNOWN, own)
    classes = set(named[target.notna()])
    if classes and classes <= {MELANOMA, UNKNOWN}:
        raise ValueError(
            f"task diagnosis: no diagnosis besides {sorted(classes)} is named in "
            f"{target.notna().sum()} labelled images: use task melanoma or native"
        )
    return named
